use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Vec<Row> {
    UsageReader::new(text.as_bytes()).unwrap().map(Result::unwrap).collect()
}

fn one(text: &str) -> Result<UsageEvent, Rejected> {
    read(text).remove(0).event
}

fn header_error(text: &str) -> String {
    UsageReader::new(text.as_bytes()).unwrap_err().to_string()
}

const CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"e1","source":"/api","time":"2026-10-01T00:00:00.25+02:00","type":"inference","subject":"acme","traceparent":"00-1","datacontenttype":"application/json; charset=utf-8","data":{"project":"p","member":"m","environment":"production","model":"gpt","supplier":"s","job":"j","input_tokens":1200,"output_tokens":"34.5","cached_input_tokens":1.5e2}}"#;

#[test]
fn both_formats_give_the_same_event() {
    let csv = "\u{FEFF}meter,id,organization,at,source,project,member,environment,model,supplier,job,\
               output_tokens,input_tokens,cached_input_tokens,cells\r\n\
               inference,e1,acme,2026-09-30T22:00:00.25Z,/api,\"p\",m,production,gpt,s,j,34.50,1200,150,\r\n";
    let event = one(csv).unwrap();
    assert_eq!(one(CLOUD_EVENT).unwrap(), event);
    let quantities: Vec<String> = event
        .quantities
        .iter()
        .map(|(name, quantity)| format!("{name}={}", decimal::text(*quantity)))
        .collect();
    // A blank cell is absent, not zero.
    assert_eq!(quantities, ["cached_input_tokens=150", "input_tokens=1200", "output_tokens=34.5"]);
}

#[test]
fn rows_that_are_wrong_name_line_field_reason_and_organization() {
    let rows = read(
        "id,organization,at,meter,characters\n\
         1,acme,2026-01-01T00:00:00Z,translation,10\n\
         \n\
         2,acme,2026-01-01,translation,10\n\
         3,acme,2026-01-01T00:00:00Z,translation,-1\n\
         4,acme,2026-01-01T00:00:00Z,translation,1e3\n\
         5,acme,2026-01-01T00:00:00Z,translation\n\
         6,Acme!,2026-01-01T00:00:00Z,translation,1\n\
         ,acme,2026-01-01T00:00:00Z,translation,1\n\
         8,acme,2026-01-01T00:00:00Z,trans\u{0007}lation,1\n\
         9,acme,2026-01-01T00:00:00Z,\"translation,1\n\
         10,acme,2026-01-01T00:00:00Z,translation,1000000000000000.1\n\
         11,acme,2026-01-01T00:00:00Z,translation,0.0000000000001\n\
         12,acme,2026-01-01T00:00:00Z,\"translation\",\"1000000000000000\"\n",
    );
    let found: Vec<(u64, Option<String>)> = rows
        .iter()
        .filter_map(|row| row.event.as_ref().err().map(|e| (row.line, e.field.clone())))
        .collect();
    let field = |name: &str| Some(name.to_owned());
    assert_eq!(
        found,
        [
            (4, field("at")),
            (5, field("characters")),
            (6, field("characters")),
            (7, None),
            (8, field("organization")),
            (9, field("id")),
            (10, field("meter")),
            (11, None),
            (12, field("characters")),
            (13, field("characters")),
        ]
    );
    assert_eq!(rows.len(), 12);
    assert_eq!(rows[1].event.as_ref().unwrap_err().organization.as_deref(), Some("acme"));
}

#[test]
fn cloud_events_that_are_wrong_name_their_attribute() {
    for (from, to, field) in [
        ("\"1.0\"", "\"0.3\"", "specversion"),
        ("\"specversion\":\"1.0\",", "", "specversion"),
        ("\"id\":\"e1\"", "\"id\":\"\"", "id"),
        ("\"source\":\"/api\",", "", "source"),
        ("+02:00", "", "time"),
        ("\"subject\":\"acme\",", "", "subject"),
        ("application/json", "text/xml", "datacontenttype"),
        ("1200", "-1200", "data.input_tokens"),
        ("1200", "true", "data.input_tokens"),
        ("1200", "1e99", "data.input_tokens"),
        ("1.5e2", "1e-13", "data.cached_input_tokens"),
        ("\"project\":\"p\"", "\"project\":1", "data.project"),
        ("\"project\":\"p\"", "\"meter\":1", "data.meter"),
        ("\"project\":\"p\"", "\"Project\":1", "data.Project"),
    ] {
        let text = CLOUD_EVENT.replacen(from, to, 1);
        let row = read(&text).remove(0);
        let rejected = row.event.clone().unwrap_err();
        assert_eq!(rejected.field.as_deref(), Some(field), "{to}: {rejected}");
        assert_eq!(read_raw(&row.raw()).unwrap_err(), rejected);
    }
    for text in ["{", "{}}", "{\"id\":1}", &CLOUD_EVENT.replace("\"member\"", "\"project\"")] {
        let rejected = one(text).unwrap_err();
        assert!(rejected.reason.contains("not a CloudEvent"), "{rejected}");
    }
}

// No float ever touches a quantity.
#[test]
fn json_numbers_are_exact() {
    let text = CLOUD_EVENT.replace("1200", "123456789012345.123456789012").replace("1.5e2", "0.1");
    let event = one(&text).unwrap();
    assert_eq!(event.quantities["input_tokens"].to_string(), "123456789012345.123456789012");
    assert_eq!(event.quantities["cached_input_tokens"].to_string(), "0.1");
}

#[test]
fn files_that_are_no_usage_are_refused_with_a_reason() {
    for (text, reason) in [
        ("", "empty"),
        ("\n \r\n", "empty"),
        ("[{}]", "begins with '['"),
        ("id,organization,at\n", "missing meter"),
        ("id,organization,at,meter,Tokens\n", "column \"Tokens\" is not a dimension"),
        ("id,organization,at,meter,rows,rows\n", "column \"rows\" is there twice"),
        ("id,organization,at,meter,\n", "column \"\" is not a dimension"),
        ("\n\nid,organization,at,meter,specversion\n", "line 3"),
        ("\u{0}\u{1}\u{2}", "is not a dimension"),
    ] {
        let error = header_error(text);
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn a_raw_row_reads_again() {
    let event = one(CLOUD_EVENT).unwrap();
    assert_eq!(read_raw(&raw_of(&event)).unwrap(), event);
    let rows = read("id,organization,at,meter,rows\n1,acme,yesterday,log,5\n1,acme,yesterday\n");
    assert_eq!(
        rows[0].raw(),
        r#"{"at":"yesterday","id":"1","meter":"log","organization":"acme","rows":"5"}"#
    );
    assert_eq!(read_raw(&rows[0].raw()).unwrap_err(), *rows[0].event.as_ref().unwrap_err());
    let corrected = rows[0].raw().replace("yesterday", "2026-01-01T00:00:00Z");
    assert_eq!(read_raw(&corrected).unwrap().quantities["rows"], 5.into());
    assert_eq!(rows[1].raw(), r#"{"unreadable":"1,acme,yesterday"}"#);
    assert!(read_raw(&rows[1].raw()).unwrap_err().reason.contains("could not be read"));
}

#[test]
fn a_line_without_end_is_rejected_not_kept() {
    let mut text = b"id,organization,at,meter,rows\n1,acme,2026-01-01T00:00:00Z,log,".to_vec();
    text.extend(std::iter::repeat_n(b'1', 3 * MAX_LINE_BYTES));
    text.extend_from_slice(b"\n2,acme,2026-01-01T00:00:00Z,log,1");
    let rows: Vec<Row> = UsageReader::new(text.as_slice()).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].event.as_ref().unwrap_err().reason.contains("1 MiB"));
    assert!(rows[0].raw().len() < 20_000);
    assert_eq!((rows[1].line, rows[1].event.is_ok()), (3, true));
}

#[test]
fn text_that_is_not_utf_8_rejects_its_row_alone() {
    let text = b"id,organization,at,meter\n\xFF,acme,2026-01-01T00:00:00Z,log\n2,acme,2026-01-01T00:00:00Z,log\n";
    let rows: Vec<Row> = UsageReader::new(text.as_slice()).unwrap().map(Result::unwrap).collect();
    assert!(rows[0].event.as_ref().unwrap_err().reason.contains("UTF-8"));
    assert!(rows[1].event.is_ok());
}

fn every_row_is_answered(bytes: &[u8]) {
    let Ok(rows) = UsageReader::new(bytes) else { return };
    for row in rows.map(Result::unwrap) {
        match (&row.event, read_raw(&row.raw())) {
            (Ok(event), again) => assert_eq!(again.as_ref(), Ok(event)),
            (Err(rejected), again) => {
                assert!(!rejected.reason.is_empty());
                assert!(again.is_err());
            }
        }
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        every_row_is_answered(&bytes);
        for start in [&b"id,organization,at,meter,rows\n"[..], b"{", CLOUD_EVENT.as_bytes()] {
            every_row_is_answered(&[start, &bytes].concat());
        }
    }

    #[test]
    fn a_spoiled_event_is_accepted_or_rejected(at in 0..CLOUD_EVENT.len(), text in "\\PC{0,4}") {
        let spoiled = format!("{}{text}{}", &CLOUD_EVENT[..at], &CLOUD_EVENT[at..]);
        every_row_is_answered(spoiled.as_bytes());
        let csv = format!("id,organization,at,meter,rows\n1,acme,2026-01-01T00:00:00Z,log,{text}\n");
        every_row_is_answered(csv.as_bytes());
    }

    // Every line that is not blank is one row: nothing is dropped.
    #[test]
    fn rows_and_lines_agree(lines in prop::collection::vec("[!-~]{1,30}", 0..30)) {
        let text = format!("id,organization,at,meter,rows\n{}", lines.join("\n"));
        prop_assert_eq!(read(&text).len(), lines.len());
        let text = format!("{CLOUD_EVENT}\n{}", lines.join("\r\n"));
        prop_assert_eq!(read(&text).len(), lines.len() + 1);
    }
}
