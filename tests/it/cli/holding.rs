//! What waits for a person, and the commands that let it go: their shapes, exit codes and refusals.

use serde_json::{Value, json};

use super::home::{Home, THREE};
use super::shape::{Kind, has};

const NOW: &str = "2026-02-01T03:00:00Z";

#[test]
fn a_held_run_is_named_and_confirmed() {
    let home = Home::with(THREE);
    let cap = "[brakes]\ninvoice_cap = { USD = \"10.00\" }\n";
    home.edit("monthend.toml", "# [brakes]\n", cap);
    let ticked = home.json(NOW, "tick", 1);
    let all = ticked["runs"].as_array().unwrap();
    let run = all.iter().find(|run| run["state"] == "held").unwrap();
    has(run, &[("run", &[Kind::Text]), ("cycle", &[Kind::Cycle]), ("reason", &[Kind::Text])]);
    assert_eq!(run["parked"][0]["kind"], "brake", "{run}");
    let id = run["run"].as_str().unwrap();
    let said = home.run(NOW, "tick").stdout;
    assert!(
        said.contains("held: the invoice of acme for") && said.contains("run confirm"),
        "{said}"
    );
    assert!(!said.contains("run retry"), "{said}");
    let shown = home.json(NOW, &format!("run show {id}"), 0);
    assert_eq!((&shown["state"], shown["parked"].as_array().unwrap().len()), (&json!("held"), 1));
    let listed = home.json(NOW, "run list", 0);
    let states: Vec<&Value> =
        listed["runs"].as_array().unwrap().iter().map(|run| &run["state"]).collect();
    assert!(states.contains(&&json!("held")), "{states:?}");
    let doctor = home.json(NOW, "doctor", 1);
    let failed: Vec<&Value> =
        doctor["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).collect();
    assert!(failed.iter().any(|check| check["name"] == "held"), "{failed:?}");
    assert_eq!(home.json(NOW, "invoice list", 0)["invoices"], json!([]));

    // Only what was read can be confirmed, under the name its message gives it.
    let figures = said.split_once("--figures ").unwrap().1.split_whitespace().next().unwrap();
    let confirm = format!("run confirm {id} --figures {figures}");
    assert_eq!(home.run(NOW, &format!("run confirm {id} --reason checked")).code, 2);
    assert_eq!(home.run(NOW, &confirm).code, 2);
    let none = home.error(NOW, "run confirm run_none --figures 00000000 --reason checked");
    assert_eq!(none.0, "not_found");
    let other = home.error(NOW, &format!("run confirm {id} --figures 00000000 --reason checked"));
    assert_eq!(other.0, "refused");
    let done = home.json(NOW, &format!("{confirm} --reason checked"), 0);
    assert_eq!((&done["runs"][0]["run"], &done["runs"][0]["state"]), (&json!(id), &json!("done")));
    assert_eq!(home.json(NOW, "invoice list", 0)["invoices"].as_array().unwrap().len(), 2);
    assert_eq!(home.error(NOW, &format!("{confirm} --reason again")).0, "refused");
    assert_eq!((home.run(NOW, "verify").code, home.run(NOW, "tick").code), (0, 0));
}

#[test]
fn feeds_that_nothing_came_from_are_not_confirmed() {
    let home = Home::with(THREE);
    let (code, said) = home.error(NOW, "feed confirm nobody --day 2026-01-05 --reason x");
    assert!(code == "not_found" && said.contains("\"nobody\""), "{code} {said}");
    assert_eq!(home.error(NOW, "feed confirm nobody --day 5 --reason x").0, "usage");
    assert_eq!(home.error(NOW, "feed confirm nobody --day 2026-01-05").0, "usage");
}

#[test]
fn a_deployment_and_its_folder() {
    let home = Home::with(THREE);
    let shown = home.json(NOW, "deployment show", 0);
    has(
        &shown,
        &[
            ("deployment", &[Kind::Text]),
            ("mode", &[Kind::Text]),
            ("gateway", &[Kind::Text, Kind::Null]),
            ("configured_gateway", &[Kind::Text, Kind::Null]),
            ("effects", &[Kind::Text]),
            ("reason", &[Kind::Text, Kind::Null]),
        ],
    );
    assert_eq!(shown["effects"], "allowed");
    assert!(home.read("deployment").contains(shown["deployment"].as_str().unwrap()));
    // A restored folder lost its file: it reads, and does nothing else until it is said to belong.
    std::fs::remove_file(home.path().join("deployment")).unwrap();
    assert_eq!(home.json(NOW, "deployment show", 0)["effects"], "refused");
    let ticked = home.json(NOW, "tick", 1);
    has(&ticked, &[("refused", &[Kind::Text]), ("runs", &[Kind::List])]);
    assert!(home.run(NOW, "tick").stdout.contains("refused: nothing is charged or sent"));
    assert_eq!(home.error(NOW, "credits buy acme --credits 5").0, "refused");
    assert_eq!(home.run(NOW, "verify").code, 0);
    assert_eq!(home.run(NOW, "doctor").code, 1);
    assert_eq!(home.error(NOW, "deployment join").0, "usage");
    let joined = home.json(NOW, "deployment join --reason restored", 0);
    assert_eq!(joined["deployment"], shown["deployment"]);
    assert_eq!(home.run(NOW, "tick").code, 0);
    assert_eq!(home.error(NOW, "deployment adopt-gateway --reason same").0, "refused");
}
