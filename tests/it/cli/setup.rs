//! `init`, `doctor`, `verify`, and what holds for every command.

use super::home::{Home, THREE, finish, program};
use super::shape::{Kind, has};

#[test]
fn init_says_what_it_made_and_made_it() {
    let home = Home::bare();
    let made = home.json("2026-01-01", "init", 0);
    let mut created: Vec<&str> =
        made["created"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    created.sort_unstable();
    assert_eq!(created, ["catalog.toml", "monthend.db", "monthend.toml"]);
    for name in created {
        assert!(home.path().join(name).is_file(), "{name}");
    }
    for name in ["documents", "outbox"] {
        assert!(home.path().join(name).is_dir(), "{name}");
    }
}

#[test]
fn init_again_overwrites_nothing() {
    let home = Home::with(THREE);
    home.edit("monthend.toml", "Example AI Platform Ltd", "My Own Name");
    home.edit("catalog.toml", "credits = 12\n", "credits = 13\n");
    let before = (home.read("monthend.toml"), home.read("catalog.toml"));
    assert_eq!(home.json("2026-01-02", "init", 0)["created"].as_array().unwrap().len(), 0);
    assert_eq!(home.run("", "init --live").code, 0, "the file's mode stands");
    assert_eq!((home.read("monthend.toml"), home.read("catalog.toml")), before);
    let all = home.json("2026-01-02", "org list", 0);
    assert_eq!(all["organizations"].as_array().unwrap().len(), 3);
    // What was lost comes back; the rest stays.
    std::fs::remove_file(home.path().join("catalog.toml")).unwrap();
    assert_eq!(home.json("2026-01-02", "init", 0)["created"], serde_json::json!(["catalog.toml"]));
    assert_eq!(home.read("monthend.toml"), before.0);
}

// The clock of a live deployment cannot be moved.
#[test]
fn live_mode_refuses_a_test_clock() {
    let home = Home::bare();
    home.run("2026-01-01", "init --live").refuses(&["--now"]);
    assert_eq!(home.run("", "init --live").code, 0);
    assert!(home.read("monthend.toml").contains("\nmode = \"live\""));
    for words in ["org list", "tick", "verify", "credits balance acme", "init", "job due"] {
        home.run("2026-01-01", words).refuses(&["--now", "live"]);
    }
    let (_, message) = home.error("2026-01-01", "org list");
    assert!(message.contains("--now"), "{message}");
    let doctor = home.json("2026-01-01", "doctor", 1);
    assert_eq!(doctor["ok"], false);
    assert_eq!(home.run("", "org list").code, 0);
}

// F72: a live database under a test configuration is refused, and the other way round.
#[test]
fn a_database_of_the_other_mode_is_refused() {
    let home = Home::new();
    home.edit("monthend.toml", "\nmode = \"test\"", "\nmode = \"live\"");
    home.run("", "tick").refuses(&["test", "live", "database"]);
    let other = Home::bare();
    assert_eq!(other.run("", "init --live").code, 0);
    other.edit("monthend.toml", "\nmode = \"live\"", "\nmode = \"test\"");
    other.run("2026-01-01", "tick").refuses(&["live", "database"]);
}

#[test]
fn the_home_comes_from_dir_the_environment_or_here() {
    let home = Home::new();
    let other = Home::bare();
    let mut by_environment = program();
    by_environment.env("MONTHEND_DIR", home.path()).args(["org", "list"]);
    assert_eq!(finish(by_environment, "").code, 0);
    let mut here = program();
    here.current_dir(home.path()).args(["org", "list"]);
    assert_eq!(finish(here, "").code, 0);
    let mut dir_wins = program();
    dir_wins.env("MONTHEND_DIR", other.path()).arg("--dir").arg(home.path()).args(["org", "list"]);
    assert_eq!(finish(dir_wins, "").code, 0);
    other.run("", "org list").refuses(&["monthend.toml", "monthend init"]);
    let mut after = program();
    after.args(["org", "list", "--json", "--dir"]).arg(home.path());
    assert_eq!(finish(after, "").json()["organizations"], serde_json::json!([]));
}

#[test]
fn a_home_without_its_database_is_not_made_by_accident() {
    let home = Home::new();
    std::fs::remove_file(home.path().join("monthend.db")).unwrap();
    for words in ["tick", "org list", "verify"] {
        home.run("2026-01-02", words).refuses(&["monthend.db", "monthend init"]);
    }
    assert!(!home.path().join("monthend.db").exists());
}

#[test]
fn mistakes_on_the_command_line_are_2_and_say_what_is_allowed() {
    let home = Home::with(THREE);
    let cases: [(&str, &[&str]); 15] = [
        ("", &["Usage"]),
        ("nonsense", &["nonsense"]),
        ("org", &["import", "list", "show"]),
        ("org import", &["FILE"]),
        ("usage import", &["FILE"]),
        ("credits balance", &["ORGANIZATION"]),
        ("credits statement acme", &["--cycle"]),
        ("credits statement acme --cycle 2026-13", &["2026-13", "--cycle", "2026-10"]),
        ("credits statement acme --cycle october", &["october", "--cycle", "2026-10"]),
        ("credits grant acme ten --reason x", &["ten", "decimal", "9 decimals"]),
        ("credits grant acme 5", &["--reason"]),
        ("credits buy acme", &["--credits", "--package"]),
        ("job run monthly_close", &["--reason"]),
        ("tick --catch-up many", &["many", "--catch-up"]),
        ("catalog import-prices x.json --effective-on tomorrow", &["tomorrow", "--effective-on"]),
    ];
    for (words, parts) in cases {
        home.run("2026-01-02", words).refuses(parts);
        let answer = home.run("2026-01-02", &format!("--json {words}"));
        assert_eq!(answer.error().0, "usage", "{words}");
    }
    for clock in ["tomorrow", "2026-01-01T00:00:00", "2026-01-01T25:00:00Z"] {
        home.run(clock, "org list").refuses(&["--now", "RFC 3339"]);
    }
    for words in ["--help", "org --help", "--version", "credits buy --help"] {
        let help = home.run("", words);
        assert_eq!((help.code, help.stderr.as_str()), (0, ""));
        assert!(!help.stdout.is_empty());
    }
}

#[test]
fn quiet_says_nothing_json_one_object() {
    let home = Home::with(THREE);
    for words in
        ["org list", "credits balance acme", "tick", "job list", "verify", "doctor", "init"]
    {
        let quiet = home.run("2026-01-02", &format!("--quiet {words}"));
        assert_eq!(
            (quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()),
            (0, "", ""),
            "{words}"
        );
        home.json("2026-01-02", &format!("--quiet {words}"), 0);
        let shown = home.run("2026-01-02", words);
        assert!(!shown.stdout.trim().is_empty() && shown.stderr.is_empty(), "{words}: {shown:?}");
        assert!(shown.stdout.lines().all(|line| line == line.trim_end()), "{words}: {shown:?}");
    }
    // What failed is told even so, and errors are.
    let use_of_nobody =
        "id,organization,at,meter,executions\n1,nobody,2026-01-01T09:00:00Z,prompt,1\n";
    let file = home.write("use.csv", use_of_nobody);
    let words = format!("usage import {}", file.display());
    let quiet = home.run("2026-01-02", &format!("--quiet {words}"));
    assert_eq!((quiet.code, quiet.stderr.as_str()), (1, ""), "{quiet:?}");
    assert!(quiet.stdout.contains("1 set aside") && quiet.stdout.contains("nobody"), "{quiet:?}");
    let quiet = home.run("2026-01-02", "--quiet credits balance nobody");
    quiet.refuses(&["nobody"]);
}

#[test]
fn verify_and_doctor_have_the_contracts_shape() {
    let home = Home::with(THREE);
    let verify = home.json("2026-01-02", "verify", 0);
    assert_eq!(verify["ok"], true);
    assert!(verify["checks"].as_array().unwrap().len() > 10);
    for check in verify["checks"].as_array().unwrap() {
        let detail = [Kind::Text, Kind::Null, Kind::List];
        let keys: [(&str, &[Kind]); 3] =
            [("name", &[Kind::Text]), ("ok", &[Kind::Bool]), ("checked", &[Kind::Count])];
        has(check, &keys);
        assert!(check.get("detail").is_some(), "{check} {detail:?}");
    }
    let doctor = home.json("2026-01-02", "doctor", 0);
    let names: Vec<&str> = doctor["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    for name in ["configuration", "database", "templates", "fonts", "mail", "gateway", "due"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

// Read-only: neither command leaves a trace.
#[test]
fn verify_and_doctor_change_nothing() {
    let home = Home::with(THREE);
    let before = home.json("2026-03-02", "job due", 0);
    assert_eq!(home.run("2026-03-02", "verify").code, 0);
    assert_eq!(home.run("2026-03-02", "doctor").code, 0);
    assert_eq!(home.json("2026-03-02", "job due", 0), before);
    assert_eq!(home.json("2026-03-02", "run list", 0)["runs"], serde_json::json!([]));
}

#[test]
fn doctor_finds_what_is_broken() {
    let home = Home::new();
    std::fs::remove_dir(home.path().join("outbox")).unwrap();
    home.write("outbox", "a file");
    let doctor = home.run("2026-01-02", "doctor");
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.stdout.contains("FAILED") && doctor.stdout.contains("outbox"), "{doctor:?}");
    let home = Home::new();
    home.edit("monthend.toml", "workers = 2", "workers = 0");
    let doctor = home.json("2026-01-02", "doctor", 1);
    assert!(doctor.to_string().contains("runner.workers"), "{doctor}");
}
