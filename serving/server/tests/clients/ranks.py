"""Ranks and rewards with the client of the retired Personalizer service.

Usage: python ranks.py URL   (azure-cognitiveservices-personalizer from PyPI); prints what was chosen as JSON

The server has one strategy that chooses, `dish`, without a model.
"""
import json
import sys

from azure.cognitiveservices.personalizer import PersonalizerClient
from azure.cognitiveservices.personalizer.models import ErrorResponseException, RankableAction, RankRequest
from msrest.authentication import ApiKeyCredentials

client = PersonalizerClient(sys.argv[1], ApiKeyCredentials(in_headers={"Ocp-Apim-Subscription-Key": "none"}))


def request(**changes):
    parts = {
        "context_features": [{"user": {"unit": "ada", "age": 31}}, {"vegetarian": False, "city": "lisbon"}],
        "actions": [
            RankableAction(id=dish, features=[{"price": price}])
            for dish, price in [("tacos", 8), ("ramen", 12), ("sushi", 20), ("pizza", 10)]
        ],
        "event_id": "event-1",
    }
    return RankRequest(**(parts | changes))


answer = client.rank(request())
again = client.rank(request(context_features=[{"age": 54}]))
assert (again.event_id, again.reward_action_id) == (answer.event_id, answer.reward_action_id), "a repeat"
assert answer.ranking[0].id == answer.reward_action_id
assert sorted(action.id for action in answer.ranking) == ["pizza", "ramen", "sushi", "tacos"]
assert abs(sum(action.probability for action in answer.ranking) - 1) < 1e-12
client.events.reward(answer.event_id, 0.75)
client.events.activate(answer.event_id)
fresh = client.rank(request(event_id=None))

for said, changes in [
    ("`excludedActions`", {"excluded_actions": ["tacos"]}),
    ("`deferActivation`", {"defer_activation": True}),
    ("`pizza` is missing", {"actions": request().actions[:3]}),
    ("`soup` is no action", {"actions": [*request().actions, RankableAction(id="soup", features=[])]}),
    ("expected a number", {"context_features": [{"age": "thirty"}], "event_id": "event-2"}),
]:
    try:
        client.rank(request(**changes))
    except ErrorResponseException as error:
        assert error.response.status_code == 400 and said in error.error.error.message, (said, error.error.error)
    else:
        raise AssertionError(f"{said} was not refused")
print(json.dumps({
    "event_id": answer.event_id,
    "action": answer.reward_action_id,
    "probability": answer.ranking[0].probability,
    "fresh": fresh.event_id,
}))
