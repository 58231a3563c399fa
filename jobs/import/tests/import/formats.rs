//! One table, whatever the format of the file; and every row by its line.

use std::sync::Arc;

use crate::support::{World, request, shown, view};
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array,
    Int64Array, ListArray, StringArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use lakeloop_import::{Format, ImportError, ImportRequest, import};

const MAPPING: &str = r#"
target = "features"
view = "weather"
entity = "place"
event_time = "at"
[columns]
temp = "t"
dry = { column = "d", type = "boolean" }
sky = { column = "s", type = "category" }
"#;

const ALL: &str = "SELECT entity, event_time, available_at, temp, dry, sky FROM t ORDER BY event_time, entity";

/// What every format must give.
const EXPECTED: [&str; 3] = [
    "RDU|2017-01-01T05:00:00Z|2017-01-01T05:00:00Z|1.5|true|clear",
    "RDU|2017-01-01T06:00:00Z|2017-01-01T06:00:00Z||false|",
    "RDU|2017-01-01T07:00:00Z|2017-01-01T07:00:00Z|-3.0||",
];

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

const HOUR_MS: i64 = 3_600_000;
/// 2017-01-01T05:00:00Z in milliseconds.
const FIVE: i64 = 1_483_246_800_000;

fn weather_parquet() -> Vec<u8> {
    parquet(vec![
        ("unused", Arc::new(Int32Array::from(vec![1, 2, 3]))),
        ("s", texts(&[Some("clear"), None, Some("NA")])),
        ("place", texts(&[Some("RDU"); 3])),
        (
            "at",
            Arc::new(
                TimestampMillisecondArray::from(vec![FIVE, FIVE + HOUR_MS, FIVE + 2 * HOUR_MS]).with_timezone("UTC"),
            ),
        ),
        ("t", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(-3.0)]))),
        ("d", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_parquet_and_ndjson_give_the_same_rows() {
    let csv = "place,at,t,d,s\n\
               RDU,2017-01-01T00:00:00-05:00,1.5,TRUE,clear\n\
               RDU,2017-01-01 06:00:00Z,NA,no,NULL\n\
               RDU,2017-01-01T07:00:00+00:00, -3 ,, NA \n";
    let ndjson = concat!(
        r#"{"place":"RDU","at":"2017-01-01T05:00:00Z","t":1.5,"d":true,"s":"clear"}"#,
        "\n\n",
        r#"{"place":"RDU","at":"2017-01-01T06:00:00Z","t":null,"d":0}"#,
        "\n",
        r#"{"place":"RDU","at":"2017-01-01T07:00:00Z","t":-3,"s":"","more":{"x":[1]}}"#,
    );
    let files: [(&str, &[u8]); 4] = [
        ("w.csv", csv.as_bytes()),
        ("w.ndjson", ndjson.as_bytes()),
        ("w.JSONL", ndjson.as_bytes()),
        ("w.parquet", &weather_parquet()),
    ];
    for (name, content) in files {
        let world = World::new().await;
        let report = world
            .import_strictly(&world.file(name, content), MAPPING)
            .await
            .unwrap();
        assert_eq!((report.rows_read, report.bad_rows), (3, 0), "{name}");
        assert_eq!(
            report.rows_written.into_iter().collect::<Vec<_>>(),
            [(view("weather"), 3)],
            "{name}"
        );
        assert_eq!(world.lines(&view("weather"), ALL).await, EXPECTED, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_columns_of_parquet_of_every_width_are_read() {
    let world = World::new().await;
    let dictionary: DictionaryArray<Int32Type> = vec!["clear", "clear"].into_iter().collect();
    let file = world.file(
        "w.parquet",
        parquet(vec![
            ("place", Arc::new(UInt64Array::from(vec![7, 8]))),
            (
                "at",
                Arc::new(TimestampNanosecondArray::from(vec![
                    FIVE * 1_000_000,
                    (FIVE + HOUR_MS) * 1_000_000,
                ])),
            ),
            (
                "t",
                Arc::new(
                    Decimal128Array::from(vec![150, -25])
                        .with_precision_and_scale(5, 2)
                        .unwrap(),
                ),
            ),
            ("d", Arc::new(Float32Array::from(vec![1.0, 0.0]))),
            ("s", Arc::new(dictionary)),
            ("day", Arc::new(Date32Array::from(vec![17_167, 17_168]))),
        ]),
    );
    let mapping = MAPPING
        .replace("\"at\"", r#"{ column = "at", time_zone = "America/New_York" }"#)
        .replace(
            "[columns]",
            "available_at = { column = \"day\", time_zone = \"UTC\" }\n[columns]",
        );
    let report = world.import_strictly(&file, &mapping).await.unwrap();
    assert_eq!(report.rows_read, 2);
    assert_eq!(
        world.lines(&view("weather"), ALL).await,
        [
            "7|2017-01-01T10:00:00Z|2017-01-01T00:00:00Z|1.5|true|clear",
            "8|2017-01-01T11:00:00Z|2017-01-02T00:00:00Z|-0.25|false|clear",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_parquet_are_told_by_their_number() {
    let world = World::new().await;
    let file = world.file(
        "w.parquet",
        parquet(vec![
            ("place", texts(&[Some("RDU"), None, Some("RDU"), Some("RDU")])),
            ("at", texts(&[Some("2017-01-01T05:00:00Z"); 4])),
            (
                "t",
                Arc::new(Float64Array::from(vec![1.0, 2.0, f64::INFINITY, f64::NAN])),
            ),
            ("d", Arc::new(Int64Array::from(vec![1, 0, 1, 2]))),
            ("s", texts(&[None; 4])),
        ]),
    );
    let with_nan = MAPPING.replace("[columns]", "missing = [\"NaN\"]\n[columns]");
    let report = world.import(&file, &with_nan).await.unwrap();
    assert_eq!(
        shown(&report),
        [
            "2: place: found no value, expected the key of the row",
            "3: t: found inf, expected a finite number",
            "4: d: found 2, expected true or false, yes or no, 1 or 0",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_of_csv_is_told_by_where_it_begins() {
    // Carriage returns, blank lines, line feeds within quotes, quotes within quotes, and no last line feed.
    for (ending, name) in [("\n", "unix.csv"), ("\r\n", "windows.csv")] {
        let lines = [
            "\u{feff}place,at,t,d,s", // 1
            "",
            "A,2017-01-01T05:00:00Z,x1,,", // 3
            "\"two",
            "lines\",2017-01-01T05:00:00Z,x4,,\"a \"\"word\"\"\"",
            "B,2017-01-01T05:00:00Z,x6,,",
            "",
            "",
            "C,2017-01-01T05:00:00Z,x9", // too short
            "D,2017-01-01T05:00:00Z,1,,\"three",
            "",
            "lines\"",
            "E,2017-01-01T05:00:00Z,x13,,last",
        ];
        let world = World::new().await;
        let file = world.file(name, lines.join(ending));
        let report = world.import(&file, MAPPING).await.unwrap();
        assert_eq!(
            shown(&report),
            [
                "3: t: found \"x1\", expected a finite number",
                "4: t: found \"x4\", expected a finite number",
                "6: t: found \"x6\", expected a finite number",
                "9: found 3 field(s), expected 5, as the header has",
                "13: t: found \"x13\", expected a finite number",
            ],
            "{name}"
        );
        assert_eq!((report.rows_read, report.bad_rows), (6, 5), "{name}");
        let sky = world.lines(&view("weather"), "SELECT entity, sky FROM t").await;
        assert_eq!(sky, [format!("D|three{ending}{ending}lines")], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_that_is_not_closed_is_told_with_the_lines_it_takes() {
    let world = World::new().await;
    let rows = "place,at,t,d,s\nA,2017-01-01T05:00:00Z,1,,\n\"B,2017-01-01T05:00:00Z,1,,\nC,2017-01-01T05:00:00Z,1,,";
    let report = world.import(&world.file("w.csv", rows), MAPPING).await.unwrap();
    assert_eq!(
        shown(&report),
        ["3: found 1 field(s) over 2 lines, perhaps after a quote that is not closed, expected 5, as the header has"]
    );
    assert_eq!(report.rows_read, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_of_ndjson_is_told_by_its_number() {
    let world = World::new().await;
    let lines = [
        r#"{"place":"A","at":"2017-01-01T05:00:00Z","t":1,"d":true,"s":5}"#,
        r#"{"place":"A","at":"2017-01-01T05:00:00Z","t":1,"d":true,"s":"#,
        "",
        "[1, 2]",
        r#"{"place":["A"],"at":"2017-01-01T05:00:00Z"}"#,
        r#"{"place":"A","at":1483246800}"#,
        r#"{"place":"A","at":"2017-01-01T05:00:00Z","t":"1e999"}"#,
        "\u{1}",
    ];
    let report = world
        .import(&world.file("w.ndjson", lines.join("\n")), MAPPING)
        .await
        .unwrap();
    assert_eq!(
        shown(&report),
        [
            "2: found broken JSON near character 60, expected a JSON object on one line",
            "4: found other JSON, expected a JSON object on one line",
            "5: place: found a list, expected a text",
            "6: at: found 1483246800, expected a timestamp or an RFC 3339 time; give the mapping { column = …, unit = \"s\" } for this column",
            "7: t: found \"1e999\", expected a finite number",
            "8: found broken JSON near character 1, expected a JSON object on one line",
        ]
    );
    assert_eq!(world.lines(&view("weather"), "SELECT sky FROM t").await, ["5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_leaves_the_lake_as_it_was() {
    let good = "place,at,t,d,s\nA,2017-01-01T05:00:00Z,1,,\n";
    let mut truncated = weather_parquet();
    truncated.truncate(truncated.len() - 9);
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]);
    let nested = parquet(vec![
        ("place", texts(&[Some("A")])),
        ("at", texts(&[Some("2017-01-01T05:00:00Z")])),
        ("t", Arc::new(list)),
        ("d", texts(&[None])),
        ("s", texts(&[None])),
    ]);
    let cases: [(&str, &[u8], &str); 7] = [
        (
            "w.txt",
            good.as_bytes(),
            "does not end in .csv, .parquet, .ndjson or .jsonl",
        ),
        (
            "empty.csv",
            b"",
            "is not readable as csv: it is empty; its first line must name the columns",
        ),
        ("w.parquet", good.as_bytes(), "w.parquet is not readable as parquet"),
        ("cut.parquet", &truncated, "cut.parquet is not readable as parquet"),
        ("nested.parquet", &nested, "column \"t\" is List"),
        (
            "short.csv",
            b"place,at,at,d,s\n",
            "mapping.toml:5:14: event_time: \"at\": the file has several columns of this name\n\
             mapping.toml:7:8: columns.temp: \"t\": the file has no such column; its columns are \"place\", \"at\", \"at\", \"d\", \"s\"",
        ),
        (
            "short.ndjson",
            b"{\"place\":\"A\",\"at\":\"x\",\"tt\":1,\"d\":1,\"s\":\"\"}\n",
            "mapping.toml:7:8: columns.temp: \"t\": the file has no such column; its columns are \"at\", \"d\", \"place\", \"s\", \"tt\"",
        ),
    ];
    for (name, content, expected) in cases {
        let world = World::new().await;
        let error = world.import(&world.file(name, content), MAPPING).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(world.lake.feature_views().await.unwrap().is_empty(), "{name}");
    }
    let world = World::new().await;
    let absent = world.folder.path().join("absent.csv");
    let error = world.import(&absent, MAPPING).await.unwrap_err();
    assert!(matches!(error, ImportError::Read { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_format_can_be_named() {
    let world = World::new().await;
    let file = world.file("weather.txt", "place,at,t,d,s\nA,2017-01-01T05:00:00Z,1,,\n");
    let request = ImportRequest {
        format: Format::parse("CSV"),
        ..request(&file, MAPPING)
    };
    let report = import(&world.lake, request, &mut |_| ()).await.unwrap();
    assert_eq!(report.rows_read, 1);
    assert_eq!(Format::parse("xlsx"), None);
}
