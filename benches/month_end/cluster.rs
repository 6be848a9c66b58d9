//! A PostgreSQL server of our own, on loopback, thrown away afterwards. Its settings are the server's defaults.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;

/// A running server.
pub struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    is_root: bool,
    server: Option<Child>,
}

impl Cluster {
    /// Starts one in `folder` with the installed programs.
    pub fn start(folder: &Path) -> Result<Self> {
        let programs = programs().context("no PostgreSQL server is installed")?;
        let folder = tempfile::tempdir_in(folder)?;
        let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        drop(listener);
        let mut cluster = Self { programs, folder, port, is_root, server: None };
        if is_root {
            // The server refuses to run as root, and must reach its folder.
            for open in [cluster.folder.path().parent(), Some(cluster.folder.path())] {
                run(Command::new("chmod").arg("711").args(open))?;
            }
            run(Command::new("chown").arg("postgres").arg(cluster.folder.path()))?;
        }
        let data = cluster.data();
        run(cluster.program("initdb").arg("-D").arg(&data).args([
            "-A",
            "trust",
            "-U",
            "monthend",
            "--locale=C.UTF-8",
        ]))?;
        let log = std::fs::File::create(cluster.folder.path().join("log"))?;
        // A child of ours, not a daemon: what interrupts the benchmark ends it too.
        let server = cluster
            .program("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}"), "-c"])
            .arg(format!("unix_socket_directories={}", cluster.folder.path().display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        cluster.server = Some(server);
        for _ in 0..300 {
            if cluster.ask_in("postgres", &["SELECT 1"]).is_ok() {
                return Ok(cluster);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(cluster.folder.path().join("log")).unwrap_or_default();
        bail!("PostgreSQL did not start: {log}")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        if !self.is_root {
            return Command::new(path);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
        command.env("HOME", self.folder.path());
        command
    }

    /// The address of one of its databases.
    pub fn address(&self, database: &str) -> String {
        format!("postgres://monthend@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements outside the measured time.
    pub fn ask_in(&self, database: &str, statements: &[&str]) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.address(database)).await?;
            for statement in statements {
                let statement = AssertSqlSafe((*statement).to_owned());
                sqlx::raw_sql(statement).execute(&mut connection).await?;
            }
            Ok(connection.close().await?)
        })
    }

    /// A fresh database, empty or a copy of one that nobody has open.
    pub fn make(&self, name: &str, template: Option<&str>) -> Result<String> {
        let template = template.map_or(String::new(), |name| format!(" TEMPLATE {name}"));
        self.ask_in(
            "postgres",
            &[
                &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
                &format!("CREATE DATABASE {name}{template}"),
                // What a copy left to write must not fall into the measured time.
                "CHECKPOINT",
            ],
        )?;
        Ok(self.address(name))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_none() {
            return;
        }
        let mut stop = self.program("pg_ctl");
        stop.arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]);
        let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if let Some(server) = &mut self.server {
            let _ = server.wait();
        }
    }
}

/// The newest installed server's programs.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("pg_ctl").exists())
        .collect();
    found.sort();
    let on_path = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).find(|dir| dir.join("initdb").exists()));
    found.pop().or(on_path)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let output = output.with_context(|| format!("{command:?}"))?.wait_with_output()?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
