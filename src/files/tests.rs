//! Storage on a real file system: modes, links, names, left-overs.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_batch_is_stored_once_and_privately() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("documents");
    let files: Vec<(String, Vec<u8>)> =
        (0..6).map(|n| (format!("2026-10/INV-{n}.pdf"), vec![n; 10])).collect();
    assert_eq!(store_batch(&dir, &files).unwrap(), 6);
    assert_eq!(store_batch(&dir, &files).unwrap(), 0, "the same content is left alone");
    assert_eq!(store_batch(&dir, &[("2026-10/INV-0.pdf", b"new")]).unwrap(), 1);
    assert_eq!(std::fs::read(dir.join("2026-10/INV-0.pdf")).unwrap(), b"new");
    assert_eq!(names(&dir.join("2026-10")).len(), 6, "no temporary file is left");
    let mode = |path: &str| dir.join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("2026-10"), mode("2026-10/INV-1.pdf")), (0o700, 0o700, 0o600));
}

#[test]
fn unsafe_names_write_nothing() {
    let home = tempfile::tempdir().unwrap();
    let long = "x".repeat(201);
    for name in
        ["", "../x", "/etc/x", "a/../b", "a//b", ".hidden", "a/.b", "a b", "ä", "a\0b", &long]
    {
        let files = [("good.pdf", b"1"), (name, b"2")];
        assert!(matches!(store_batch(home.path(), &files), Err(FileError::Name(_))), "{name}");
    }
    assert!(names(home.path()).is_empty());
}

#[test]
fn links_are_replaced_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let victim = home.path().join("victim");
    std::fs::create_dir(home.path().join("out")).unwrap();
    write_durably(&victim, b"precious").unwrap();
    symlink(&victim, home.path().join("out/INV-1.pdf")).unwrap();
    store_batch(&home.path().join("out"), &[("INV-1.pdf", b"invoice")]).unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    assert_eq!(std::fs::read(home.path().join("out/INV-1.pdf")).unwrap(), b"invoice");
    symlink(home.path(), home.path().join("out/linked")).unwrap();
    let error = store_batch(&home.path().join("out"), &[("linked/x", b"1")]).unwrap_err();
    assert!(error.to_string().contains("out/linked"), "{error}");
}

#[test]
fn only_old_temporary_files_are_swept() {
    let home = tempfile::tempdir().unwrap();
    store_batch(home.path(), &[("a/kept.pdf", b"1")]).unwrap();
    let left = home.path().join("a").join(format!("{TEMPORARY}1-1"));
    std::fs::copy(home.path().join("a/kept.pdf"), &left).unwrap();
    let written: DateTime<Utc> = left.metadata().unwrap().modified().unwrap().into();
    let minute = chrono::Duration::minutes(1);
    assert_eq!(sweep_temporaries(home.path(), written - minute).unwrap(), 0);
    assert_eq!(sweep_temporaries(home.path(), written + minute).unwrap(), 1);
    assert_eq!(names(&home.path().join("a")), ["kept.pdf"]);
}

// F6: what a killed `init` left in the home folder stayed there for good.
#[test]
fn a_folder_is_swept_without_what_is_below_it() {
    let home = tempfile::tempdir().unwrap();
    store_batch(home.path(), &[("a/kept.pdf", b"1")]).unwrap();
    for left in ["a", "."] {
        let left = home.path().join(left).join(format!("{TEMPORARY}1-1"));
        std::fs::copy(home.path().join("a/kept.pdf"), left).unwrap();
    }
    let later: DateTime<Utc> = std::time::SystemTime::UNIX_EPOCH.into();
    assert_eq!(sweep_temporaries_in(home.path(), later).unwrap(), 0);
    let later = later + chrono::Duration::days(1_000_000);
    assert_eq!(sweep_temporaries_in(home.path(), later).unwrap(), 1);
    assert_eq!(names(&home.path().join("a")), [format!("{TEMPORARY}1-1"), "kept.pdf".to_owned()]);
}
