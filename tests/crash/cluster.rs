//! A throw-away PostgreSQL server.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// A running server in a folder; it is stopped when this is dropped.
pub struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes a server in a folder that does not exist yet, and starts it.
    pub fn start(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let mut cluster = Self { bin: bin()?, folder: folder.to_owned(), port: 0 };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder))?;
        }
        let data = cluster.data();
        let locale = ["-A", "trust", "-U", "monthend", "--locale=C.UTF-8"];
        run(cluster.owned("initdb").arg("-D").arg(&data).args(locale))?;
        for _ in 0..8 {
            cluster.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            if cluster.begin().is_ok() {
                return Ok(cluster);
            }
        }
        bail!("PostgreSQL did not start; see {}", cluster.folder.join("log").display())
    }

    /// Starts the server again, on the port it had.
    pub fn begin(&self) -> Result<()> {
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories={} -c max_connections=200",
            self.port,
            self.folder.display()
        );
        let log = self.folder.join("log");
        let mut command = self.owned("pg_ctl");
        command.arg("-D").arg(self.data()).args(["-w", "-t", "60", "-l"]).arg(&log);
        run(command.args(["-o", &options, "start"]))
    }

    /// Stops it as a crash would: no checkpoint, clients cut off.
    pub fn stop_immediately(&self) -> Result<()> {
        run(self.owned("pg_ctl").arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]))
    }

    /// The address of a database.
    pub fn address(&self, database: &str) -> String {
        format!("postgres://monthend@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements in a database; gives the rows as lines, columns parted by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let output = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
            .args([&self.address(database), "-c", sql])
            .stdin(Stdio::null())
            .output()
            .context("psql")?;
        ensure!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The schema and the rows of a database, as `pg_dump` writes them, but for the rows of some tables.
    pub fn dump(&self, database: &str, without: &[&str]) -> Result<String> {
        let mut command = Command::new(self.bin.join("pg_dump"));
        command.args(without.iter().map(|table| format!("--exclude-table-data={table}")));
        command.args(["--no-comments", "-d"]).arg(self.address(database));
        let output = command.stdin(Stdio::null()).output().context("pg_dump")?;
        ensure!(
            output.status.success(),
            "pg_dump: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes a database anew, empty or as a copy of another that nobody is connected to.
    pub fn create(&self, database: &str, template: Option<&str>) -> Result<()> {
        self.drop_database(database)?;
        let template = template.map_or_else(String::new, |name| format!(" TEMPLATE {name}"));
        self.sql("postgres", &format!("CREATE DATABASE {database}{template}")).map(drop)
    }

    /// Removes a database, if there is one.
    pub fn drop_database(&self, database: &str) -> Result<()> {
        let sql = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
        self.sql("postgres", &sql).map(drop)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of the server as its owner: it refuses to run as root.
    fn owned(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "env",
            "HOME=/tmp",
        ]);
        command.arg(program).current_dir("/tmp");
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.stop_immediately();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The folder of the newest server on this machine.
fn bin() -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let folder = entry.path().join("bin");
        let version = entry.file_name().to_string_lossy().parse::<u32>();
        if let (Ok(version), true) = (version, folder.join("initdb").is_file()) {
            found.push((version, folder));
        }
    }
    if let Some((_, newest)) = found.into_iter().max() {
        return Ok(newest);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
        .context("PostgreSQL is not installed: initdb and pg_ctl are needed")
}

fn run(command: &mut Command) -> Result<()> {
    // Not piped: a server that goes on would hold a pipe open.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
