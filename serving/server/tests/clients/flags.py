"""Evaluates strategies as flags with the OpenFeature SDK and its OFREP provider.

Usage: python flags.py URL   (openfeature-sdk and openfeature-provider-ofrep from PyPI); prints what was decided as JSON

The server has the strategies `dish` (choose), `late` (yes/no) and `wait` (a number), none with a model.
"""
import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

api.set_provider(OFREPProvider(sys.argv[1]))
client = api.get_client()
context = EvaluationContext("ada", {"age": 31, "vegetarian": False, "city": "lisbon", "plan": "free"})
decided = []


def evaluated(details):
    assert details.error_code is None, details
    assert details.flag_metadata["ignored_context"], details
    decided.append({
        "decision_id": details.flag_metadata["decision_id"],
        "propensity": details.flag_metadata["propensity"],
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
    })


evaluated(client.get_string_details("dish", "none", context))
evaluated(client.get_boolean_details("late", True, context))
evaluated(client.get_float_details("wait", -1.0, context))


def refused(details, default, code, said):
    assert (details.value, details.error_code) == (default, code), details
    assert said in details.error_message, details


nobody = EvaluationContext(None, {"age": 31})
refused(client.get_string_details("dish", "none", nobody), "none", ErrorCode.TARGETING_KEY_MISSING, "targetingKey")
refused(client.get_string_details("dsh", "none", context), "none", ErrorCode.FLAG_NOT_FOUND, "did you mean `dish`")
text = EvaluationContext("ada", {"age": "thirty"})
refused(client.get_string_details("dish", "none", text), "none", ErrorCode.INVALID_CONTEXT, "expected a number")
print(json.dumps(decided))
