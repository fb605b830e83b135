//! Redis, RabbitMQ, PostgreSQL and MariaDB, each private to a test: on free ports of this machine, with a folder of its
//! own, and gone with the test, however that ends.
//!
//! A server runs in a process group that a shell leads. The shell waits for the end of its standard input, which is
//! held by the test, and then kills the whole group: so killing a server is closing a pipe, and no server outlives a
//! test that was killed. What servers have stored stays when they are killed, and is there again after a restart.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server that belongs to a test.
pub struct Server {
    name: &'static str,
    url: String,
    port: u16,
    program: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    is_ready: fn(u16) -> bool,
    group: Option<Child>,
    folder: TempDir,
}

/// Starts a Redis that has every write on disk.
pub fn redis() -> Server {
    let (folder, port) = (folder(), free_port());
    let arguments = ["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes", "--dir"];
    let mut program = vec![installed("redis-server", &[]).into_os_string()];
    program.extend(arguments.map(OsString::from));
    program.push(folder.path().into());
    let is_ready = |port| answers(port, b"PING\r\n", b"+PONG");
    let url = format!("redis://127.0.0.1:{port}/0");
    Server { name: "Redis", url, port, program, variables: Vec::new(), is_ready, group: None, folder }.started()
}

/// Starts a RabbitMQ, with these settings as Erlang takes them: `-rabbit name value`.
pub fn rabbitmq(settings: &str) -> Server {
    let (folder, port, name_port) = (folder(), free_port(), free_port());
    let at = |name: &str| folder.path().join(name).into_os_string();
    let configuration = format!("listeners.tcp.local = 127.0.0.1:{port}\ndisk_free_limit.absolute = 1MB\n");
    std::fs::write(at("rabbitmq.conf"), configuration).unwrap();
    std::fs::write(at("plugins"), "[].").unwrap();
    let text = |text: String| OsString::from(text);
    // The server of names that Erlang starts where it finds none would outlive the broker.
    let flags = format!("-start_epmd false -kernel inet_dist_use_interface {{127,0,0,1}} {settings}");
    let variables = vec![
        ("HOME", folder.path().into()),
        ("RABBITMQ_NODENAME", text(format!("armada{port}@localhost"))),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
        ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")),
        ("RABBITMQ_MNESIA_BASE", at("data")),
        ("RABBITMQ_LOG_BASE", at("log")),
        ("RABBITMQ_PID_FILE", at("pid")),
        ("RABBITMQ_DIST_PORT", text(free_port().to_string())),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", text(flags)),
        ("ERL_EPMD_PORT", text(name_port.to_string())),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
    ];
    let epmd = installed("epmd", &[]);
    // Debian's command in the path starts the broker as a user of its own only.
    let broker = installed("rabbitmq-server", &["/usr/lib/rabbitmq/bin"]);
    let program = vec!["sh".into(), "-c".into(), r#""$0" & exec "$1""#.into(), epmd.into(), broker.into()];
    let is_ready = |port| answers(port, b"AMQP\0\0\x09\x01", b"\x01");
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    Server { name: "RabbitMQ", url, port, program, variables, is_ready, group: None, folder }.started()
}

/// A RabbitMQ that the tests which run at the same time share: for those that leave it as it is.
pub fn shared_rabbitmq() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    // A test that could not start it says so; the next one tries again.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(rabbitmq(""));
        *shared = Arc::downgrade(&server);
        server
    })
}

/// Starts a PostgreSQL with an empty database.
pub fn postgresql() -> Server {
    let (folder, port) = (folder(), free_port());
    let data = folder.path().join("data").into_os_string();
    // It refuses to run as root.
    let as_user: &[&str] = if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        let owned = Command::new("chown").arg("postgres").arg(folder.path()).status();
        assert!(owned.is_ok_and(|status| status.success()), "there is no user postgres: {INSTALL}");
        &["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    } else {
        &[]
    };
    let program = |name: &str, arguments: &[&str]| {
        let mut program: Vec<OsString> = as_user.iter().map(OsString::from).collect();
        program.push(postgresql_program(name).into());
        program.extend(arguments.iter().map(OsString::from));
        program.extend(["-D".into(), data.clone()]);
        program
    };
    let initdb = program("initdb", &["--username=armada", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
    let made = Command::new(&initdb[0]).args(&initdb[1..]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let port_text = port.to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port_text, "-c", "unix_socket_directories="];
    let program = program("postgres", &arguments);
    let is_ready = |port: u16| {
        let asked = Command::new(postgresql_program("pg_isready"))
            .args(["--quiet", "--host=127.0.0.1", "--port", &port.to_string()])
            .status();
        asked.is_ok_and(|status| status.success())
    };
    let url = format!("postgres://armada:secret@127.0.0.1:{port}/postgres");
    Server { name: "PostgreSQL", url, port, program, variables: Vec::new(), is_ready, group: None, folder }.started()
}

/// Starts a MariaDB with an empty database and an account of a password.
pub fn mariadb() -> Server {
    let (folder, port) = (folder(), free_port());
    let data = folder.path().join("data");
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    // It refuses to run as root unless it is told to.
    let user: &[&str] = if is_root { &["--user=root"] } else { &[] };
    let option = |name: &str, value: &Path| {
        let mut option = OsString::from(format!("--{name}="));
        option.push(value);
        option
    };
    let mut install = Command::new(installed("mariadb-install-db", &[]));
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]).args(user);
    let made = install.arg(option("datadir", &data)).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&made.stderr));
    let accounts = folder.path().join("accounts.sql");
    std::fs::write(
        &accounts,
        "CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4;\nCREATE USER IF NOT EXISTS 'armada'@'%' IDENTIFIED BY 'secret';\n\
         GRANT ALL ON *.* TO 'armada'@'%';\n",
    )
    .unwrap();
    let mut program =
        vec![installed("mariadbd", &["/usr/sbin", "/usr/libexec"]).into_os_string(), "--no-defaults".into()];
    program.extend(user.iter().map(OsString::from));
    program.extend([
        option("datadir", &data),
        option("socket", &folder.path().join("socket")),
        option("pid-file", &folder.path().join("pid")),
        option("init-file", &accounts),
        "--bind-address=127.0.0.1".into(),
        format!("--port={port}").into(),
        "--skip-name-resolve".into(),
        "--innodb-buffer-pool-size=16M".into(),
    ]);
    // It greets whoever connects, after the file of accounts is done.
    let is_ready = |port: u16| {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok_and(|mut stream| {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            stream.read_exact(&mut [0; 5]).is_ok()
        })
    };
    let url = format!("mysql://armada:secret@127.0.0.1:{port}/shop");
    Server { name: "MariaDB", url, port, program, variables: Vec::new(), is_ready, group: None, folder }.started()
}

impl Server {
    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port of 127.0.0.1 that it is at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, as a machine does that loses its power.
    pub fn kill(&mut self) {
        if let Some(mut group) = self.group.take() {
            drop(group.stdin.take());
            let _ = group.wait();
        }
    }

    /// Starts it again at the same place with what it has stored.
    pub fn restart(&mut self) {
        self.kill();
        let started = Instant::now();
        loop {
            let group = self.group.get_or_insert_with(|| spawn(&self.program, &self.variables, self.folder.path()));
            if (self.is_ready)(self.port) {
                return;
            }
            // What the killed one had of the machine may be freed a moment later.
            if group.try_wait().unwrap().is_some() {
                self.group = None;
            }
            let output = || std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "{} has not started:\n{}", self.name, output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Has a RabbitMQ do what `rabbitmqctl` can have it do.
    pub fn control(&self, arguments: &[&str]) -> String {
        let program = installed("rabbitmqctl", &["/usr/lib/rabbitmq/bin"]);
        let output = Command::new(program).envs(self.variables.iter().cloned()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn started(mut self) -> Self {
        self.restart();
        self
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a program in a process group that ends with its standard input. When the program ends, the group does, too.
fn spawn(program: &[OsString], variables: &[(&'static str, OsString)], folder: &Path) -> Child {
    let output = std::fs::File::create(folder.join("output")).unwrap();
    // The first to end of both, the program or the standard input, ends everything.
    let script = r#"exec 3<&0; ("$@" </dev/null 3<&-; kill -KILL 0) & cat <&3 >/dev/null; kill -KILL 0"#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "server"]).args(program).envs(variables.iter().cloned());
    command.current_dir(folder).process_group(0);
    command.stdin(Stdio::piped()).stdout(output.try_clone().unwrap()).stderr(output);
    command.spawn().unwrap()
}

/// Whether who listens on a port answers this with that.
fn answers(port: u16, question: &[u8], answer: &[u8]) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(question)?;
        let mut answered = vec![0; answer.len()];
        stream.read_exact(&mut answered)?;
        std::io::Result::Ok(answered == answer)
    };
    ask().unwrap_or(false)
}

/// A port that nobody listens on. It is below those that connections of a Linux machine are given (from 32,768 on):
/// until a server has taken it, and while it is killed, nobody else gets it by chance.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u32> = 10_000..32_000;
    loop {
        // Several processes look at the same time, each from a place of its own.
        let place = std::process::id().wrapping_mul(7_919).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + place % (PORTS.end - PORTS.start)).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

const INSTALL: &str = "`make setup` installs what is missing";

/// A program in one of these folders, or else in the path.
fn installed(program: &str, folders: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().map(PathBuf::from).chain(std::env::split_paths(&path));
    let mut programs = folders.map(|folder| folder.join(program));
    programs.find(|program| program.is_file()).unwrap_or_else(|| panic!("there is no {program}: {INSTALL}"))
}

/// A program of the newest PostgreSQL.
fn postgresql_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.is_file()).max();
    newest.unwrap_or_else(|| installed(name, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::{Process, assert_gone, descendants};

    /// The processes that are in the folder of a server.
    fn processes_of(server: &Server) -> Vec<Process> {
        let group = server.group.as_ref().unwrap().id();
        let mut processes = descendants(group);
        assert!(!processes.is_empty());
        processes.retain(|process| process.id != group);
        processes
    }

    fn ask(port: u16, question: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(format!("{question}\r\n").as_bytes()).unwrap();
        let mut answer = [0; 64];
        let count = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    }

    fn sql(server: &Server, statement: &str) -> String {
        let mut psql = Command::new(postgresql_program("psql"));
        let output = psql.args(["--tuples-only", "--no-align", "--command", statement, server.url()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn redis_is_killed_and_has_what_it_had_after_a_restart() {
        let mut server = redis();
        assert_eq!(ask(server.port(), "SET kept 7"), "+OK\r\n");
        let processes = processes_of(&server);
        server.kill();
        assert_gone(&processes);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_err());
        server.restart();
        assert_eq!(ask(server.port(), "GET kept"), "$1\r\n7\r\n");
    }

    #[test]
    fn postgresql_is_killed_and_has_what_it_had_after_a_restart() {
        let mut server = postgresql();
        sql(&server, "CREATE TABLE kept AS SELECT 7 AS number");
        let processes = processes_of(&server);
        server.kill();
        assert_gone(&processes);
        server.restart();
        assert_eq!(sql(&server, "SELECT number FROM kept"), "7\n");
    }

    #[test]
    fn rabbitmq_leaves_no_process_and_no_folder() {
        let mut server = rabbitmq("");
        let folder = server.folder.path().to_owned();
        let processes = processes_of(&server);
        assert!(processes.iter().any(|process| process.command[0].ends_with("epmd")), "{processes:?}");
        server.kill();
        assert_gone(&processes);
        server.restart();
        let processes = processes_of(&server);
        drop(server);
        assert_gone(&processes);
        assert!(!folder.exists());
    }
}
