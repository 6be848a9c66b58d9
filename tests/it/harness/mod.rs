//! A deployment in a throw-away folder, on either engine, with a clock the test moves.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

pub mod database;
pub mod provider;
pub mod rows;
pub mod scripted;
pub mod web;
pub mod world;

use std::sync::Arc;

use tokio::runtime::Builder;

pub use rows::{Org, events};
pub use world::World;

/// Where a deployment keeps its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file in the home folder.
    Sqlite,
    /// A database of its own on the server of the tests.
    Postgres,
}

/// How a world is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By two threads, with a home on the disk.
    OnDisk,
    /// With a home in memory: for many worlds, none of which loses power.
    InMemory,
    /// The same with everything on the thread that asks: what listens there hears this world and no other.
    OnThisThread,
}

/// Runs a scenario in a fresh world; afterwards every invariant must hold (unless the scenario does
/// damage on purpose and says so), and the database goes, whatever the scenario's end.
pub fn run<F, B, T>(engine: Engine, body: F) -> T
where
    F: FnOnce(Arc<World>) -> B,
    B: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    run_as(How::OnDisk, engine, body)
}

/// The same, otherwise.
pub fn run_as<F, B, T>(how: How, engine: Engine, body: F) -> T
where
    F: FnOnce(Arc<World>) -> B,
    B: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut runtime = match how {
        How::OnDisk | How::InMemory => Builder::new_multi_thread(),
        How::OnThisThread => Builder::new_current_thread(),
    };
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
        let world = Arc::new(match how {
            How::OnDisk => World::new(engine).await,
            How::InMemory | How::OnThisThread => World::in_memory(engine).await,
        });
        let scenario = body(world.clone());
        let checked = world.clone();
        let ended = tokio::spawn(async move {
            let told = scenario.await;
            checked.verify_at_the_end().await;
            told
        })
        .await;
        world.close().await;
        ended.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
    })
}

/// One scenario, two tests: `both_engines!(name, |world| { … })`.
macro_rules! both_engines {
    ($(#[$note:meta])* $name:ident, |$world:ident| $body:block) => {
        $(#[$note])*
        mod $name {
            #[allow(unused_imports, reason = "a scenario may name only what a world has")]
            use super::*;

            async fn scenario($world: std::sync::Arc<$crate::harness::World>) $body

            #[test]
            fn sqlite() {
                $crate::harness::run($crate::harness::Engine::Sqlite, scenario);
            }

            #[test]
            fn postgres() {
                $crate::harness::run($crate::harness::Engine::Postgres, scenario);
            }
        }
    };
}
pub(crate) use both_engines;
