//! Files dropped into the inbox are imported, put away, or set aside with the reason beside them.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::files::write_durably;

use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

fn drop_file(world: &World, name: &str, text: &str) {
    write_durably(&world.home().join("inbox").join(name), text.as_bytes()).unwrap();
}

/// Names in a folder of the home, in order.
fn names(world: &World, folder: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(world.home().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.home().join("inbox").join(name)).unwrap()
}

async fn acme(world: &World) {
    world.set_clock("2026-01-10T09:02:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
}

both_engines!(a_good_file_is_imported_and_put_away, |world| {
    acme(&world).await;
    // Nothing to do makes no run.
    assert!(world.clean_tick().await.runs.is_empty());
    let text = events(&[("1", "acme", "2026-01-09T09:00:00Z", "3")]);
    for name in ["january.csv", "half.csv.part", ".hidden.csv", "half.tmp"] {
        drop_file(&world, name, &text);
    }
    let report = world.clean_tick().await;
    assert_eq!((report.runs.len(), report.runs[0].run.job.as_str()), (1, "import_inbox"));
    assert_eq!(world.balance("acme").await.available, whole(997));
    assert_eq!(names(&world, "inbox/done"), ["january.csv"]);
    assert_eq!(names(&world, "inbox"), [".hidden.csv", "half.csv.part", "half.tmp"]);
    world.set_clock("2026-01-10T09:05:00Z");
    assert!(world.clean_tick().await.runs.is_empty());

    // A second file of the name does not replace the first.
    let more = events(&[
        ("1", "acme", "2026-01-09T09:00:00Z", "3"),
        ("2", "acme", "2026-01-09T09:00:00Z", "4"),
    ]);
    drop_file(&world, "january.csv", &more);
    assert_eq!(world.clean_tick().await.runs.len(), 1);
    assert_eq!(names(&world, "inbox/done"), ["2-january.csv", "january.csv"]);
    assert_eq!(world.balance("acme").await.available, whole(993));
});

// The same instant of the pattern runs once; a file that comes right after waits for the next one.
both_engines!(a_due_instant_runs_once, |world| {
    acme(&world).await;
    drop_file(&world, "a.csv", &events(&[("1", "acme", "2026-01-09T09:00:00Z", "1")]));
    world.clean_tick().await;
    drop_file(&world, "b.csv", &events(&[("2", "acme", "2026-01-09T09:00:00Z", "1")]));
    assert!(world.clean_tick().await.runs.is_empty());
    world.set_clock("2026-01-10T09:05:00Z");
    assert_eq!(world.clean_tick().await.runs.len(), 1);
    assert_eq!(names(&world, "inbox/done"), ["a.csv", "b.csv"]);
    assert_eq!(world.count("run WHERE job = 'import_inbox'").await, 2);
});

both_engines!(bad_rows_stay_with_their_reasons, |world| {
    acme(&world).await;
    let text = events(&[
        ("1", "acme", "2026-01-09T09:00:00Z", "3"),
        ("2", "acme", "yesterday", "3"),
        ("3", "=cmd()", "2026-01-09T09:00:00Z", "3"),
    ]);
    drop_file(&world, "mixed.csv", &text);
    world.tick(None).await.unwrap();
    assert_eq!(names(&world, "inbox"), ["mixed.csv", "mixed.csv.rejected.csv"]);
    assert_eq!(world.balance("acme").await.available, whole(997));
    let rejected = read(&world, "mixed.csv.rejected.csv");
    let lines: Vec<&str> = rejected.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "line,reason,row"), "{rejected}");
    assert!(lines[1].starts_with("3,") && lines[2].starts_with("4,"), "{rejected}");
    assert!(!rejected.lines().any(|line| line.starts_with('=')));
    // It is not imported again until somebody takes the list away.
    world.set_clock("2026-01-10T09:10:00Z");
    assert!(world.clean_tick().await.runs.is_empty());
    std::fs::remove_file(world.home().join("inbox/mixed.csv.rejected.csv")).unwrap();
    let mended = events(&[
        ("2", "acme", "2026-01-09T10:00:00Z", "3"),
        ("1", "acme", "2026-01-09T09:00:00Z", "3"),
    ]);
    drop_file(&world, "mixed.csv", &mended);
    world.clean_tick().await;
    assert_eq!(names(&world, "inbox/done"), ["mixed.csv"]);
    assert_eq!(world.balance("acme").await.available, whole(994));
});

both_engines!(what_is_no_usage_file_is_parked, |world| {
    acme(&world).await;
    drop_file(&world, "letter.csv", "Dear Sir or Madam,\nwhere are my credits?\n");
    drop_file(&world, "usage.csv", &events(&[("1", "acme", "2026-01-09T09:00:00Z", "3")]));
    let report = world.tick(None).await.unwrap();
    assert!(!report.is_clean());
    assert_eq!(report.runs[0].run.state, "attention");
    let parked = world.parked().await;
    assert_eq!((parked.len(), parked[0].subject.as_deref()), (1, Some("letter.csv")));
    assert!(parked[0].error.as_ref().unwrap().contains("letter.csv"), "{parked:?}");
    assert_eq!(names(&world, "inbox"), ["letter.csv", "letter.csv.rejected.csv"]);
    // The good one beside it was taken.
    assert_eq!(world.balance("acme").await.available, whole(997));
    let imports = "step WHERE kind = 'import_usage'";
    let steps = world.count(imports).await;
    for instant in ["2026-01-10T09:02:00Z", "2026-01-10T09:30:00Z"] {
        world.set_clock(instant);
        assert!(world.clean_tick().await.runs.is_empty());
    }
    assert_eq!(world.count(imports).await, steps);
});

// Yesterday's file had a bad row and stays with its list; today's of the same name was never read.
both_engines!(a_file_in_the_place_of_a_rejected_one_is_read, |world| {
    acme(&world).await;
    drop_file(&world, "day.csv", &events(&[("1", "nobody", "2026-01-09T09:00:00Z", "3")]));
    assert!(!world.tick(None).await.unwrap().is_clean());
    world.pass(3_600);
    assert!(world.clean_tick().await.runs.is_empty(), "the old file is read once");
    let list = world.home().join("inbox/day.csv.rejected.csv");
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::options().write(true).open(&list).unwrap().set_modified(long_ago).unwrap();
    drop_file(&world, "day.csv", &events(&[("2", "acme", "2026-01-09T09:00:00Z", "3")]));
    world.pass(3_600);
    world.clean_tick().await;
    assert_eq!(world.balance("acme").await.available, whole(997));
    assert_eq!(names(&world, "inbox/done"), ["day.csv"]);
});
