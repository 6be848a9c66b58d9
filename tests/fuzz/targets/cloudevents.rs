//! `CloudEvents`: numbers in JSON are taken to the last digit, and nothing else is.

use monthend::intake::usage::UsageReader;
use serde_json::Value;

use super::{plain, usage};

/// One event, and the same text as a whole file.
pub fn target(data: &[u8]) {
    usage::target(data);
    let Ok(mut reader) = UsageReader::new(data) else { return };
    let first = data.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    let first = first.map(|line| line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line));
    let Some(Ok(Value::Object(object))) = first.map(serde_json::from_slice::<Value>) else {
        return;
    };
    let Some(Ok(row)) = reader.next() else { return };
    let Ok(event) = row.event else { return };
    for (attribute, taken) in [
        ("id", &event.id),
        ("source", &event.source),
        ("type", &event.meter),
        ("subject", &event.organization),
    ] {
        assert_eq!(object[attribute].as_str(), Some(taken.as_str()), "{attribute}");
    }
    for (dimension, quantity) in &event.quantities {
        let written = match &object["data"][dimension] {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            other => panic!("{dimension} was made of {other}"),
        };
        // With an exponent the digits are the same, and the point is elsewhere.
        if written.contains(['e', 'E']) {
            let digits = written.split(['e', 'E']).next().and_then(plain);
            let digits = digits.expect("a number").1;
            let taken = plain(&quantity.to_string()).expect("a number").1;
            assert_eq!(taken.trim_end_matches('0'), digits.trim_end_matches('0'), "{written}");
        } else {
            assert_eq!(plain(&quantity.to_string()), plain(&written), "{dimension}");
        }
    }
}
