//! Failures of what lies around the program: other processes, other versions, clocks, locks, lost connections,
//! restored backups.

mod cutter;
mod locks;
mod lost_commits;
mod panics;
mod pooler;
mod reruns;
mod restored;
mod settings;
mod versions;
