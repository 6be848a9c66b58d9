//! Behind a pooler in transaction mode, which hands a server connection to somebody else after every
//! transaction. Runs where `pgbouncer` is installed; what must be set is in docs/OPERATIONS.md.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]
#![expect(clippy::panic, reason = "one clear sentence instead of an error value")]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use monthend::app::{App, open_database};
use monthend::files::write_durably;
use monthend::jobs::runner::Runner;
use tokio_util::sync::CancellationToken;

use crate::harness::{Engine, Org, World, run};

/// A pooler of a few server connections in front of the world's database.
struct Pooler {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// None: it is not installed.
async fn start(world: &World) -> Option<Pooler> {
    Command::new("pgbouncer").arg("--version").stdout(Stdio::null()).status().ok()?;
    let address = world.options().database.unwrap();
    let (before, rest) = address.rsplit_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let (host, port) = server.rsplit_once(':').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = format!(
        "[databases]\n{name} = host={host} port={port} dbname={name} user=monthend\n\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = transaction\ndefault_pool_size = 3\n\
         ignore_startup_parameters = extra_float_digits,options\n\
         server_reset_query = DISCARD ALL\nserver_reset_query_always = 1\n"
    );
    let file = folder.path().join("pgbouncer.ini");
    write_durably(&file, settings.as_bytes()).unwrap();
    // It refuses to be root.
    let is_root = std::fs::metadata("/proc/self").unwrap();
    let mut command = if std::os::unix::fs::MetadataExt::uid(&is_root) == 0 {
        for path in [folder.path(), &file] {
            assert!(Command::new("chown").arg("postgres").arg(path).status().unwrap().success());
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "pgbouncer"]);
        command
    } else {
        Command::new("pgbouncer")
    };
    let child =
        command.arg("-q").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let address = format!("{before}@127.0.0.1:{own}/{name}?statement-cache-capacity=0");
    let pooler = Pooler { child, address, _folder: folder };
    for _ in 0..500 {
        if std::net::TcpStream::connect(("127.0.0.1", own)).is_ok() {
            return Some(pooler);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("pgbouncer does not listen");
}

// F32: two workers do three months through a pooler in transaction mode: no lock, no statement and no setting of a
// session is relied on.
#[test]
fn months_are_done_through_a_pooler() {
    run(Engine::Postgres, |world| async move {
        let Some(pooler) = start(&world).await else {
            eprintln!("pgbouncer is not installed: not tried");
            return;
        };
        let mut apps = Vec::new();
        for _ in 0..2 {
            let db = open_database(&pooler.address).await.unwrap();
            let config = world.app().config.clone();
            apps.push(Arc::new(App::with_database(world.options(), config, db).await.unwrap()));
        }
        world.set_clock("2026-01-01T09:00:00Z");
        let org = |n| Org::new(&format!("o{n:02}"), "standard", "2026-01-01").pays("ok");
        world.organizations(&(0..12).map(org).collect::<Vec<_>>()).await;
        for (month, end) in ["2026-02", "2026-03", "2026-04"].into_iter().enumerate() {
            world.set_clock(&format!("{end}-01T02:00:00Z"));
            let tick = |app: Arc<App>| {
                let runner = Runner::new(app, CancellationToken::new()).unwrap();
                tokio::spawn(async move { runner.tick(None).await.unwrap() })
            };
            let (one, other) = tokio::join!(tick(apps[0].clone()), tick(apps[1].clone()));
            one.unwrap();
            other.unwrap();
            world.clean_tick().await;
            assert_eq!(world.parked().await, []);
            for n in 0..12 {
                assert_eq!(world.taken(&format!("o{n:02}")), month + 1);
            }
        }
        for app in apps {
            app.db.close().await;
        }
        drop(pooler);
    });
}
