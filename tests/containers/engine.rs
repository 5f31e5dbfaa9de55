//! A container runtime of the tests' own: its folders, its processes, and nothing of them left at the end.

use crate::rig::{Report, eventually, find, millis, seconds};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The image that it has: busybox, and nothing else.
pub(crate) const IMAGE: &str = "busybox:local";

/// Why nothing of the kind can run here.
fn obstacle(programs: &[&str]) -> Option<String> {
    if let Some(program) = programs.iter().find(|program| find(program).is_none()) {
        return Some(format!("there is no {program} on this machine"));
    }
    if !geteuid().is_root() {
        return Some("only root can start containers".into());
    }
    let mount = Command::new("unshare").args(["--mount", "true"]).output();
    (!mount.is_ok_and(|done| done.status.success())).then(|| "nothing can be mounted on this machine".into())
}

/// Whether such a runtime can run here; if not, the test with this name says why.
pub(crate) fn is_possible(name: &str, programs: &[&str]) -> bool {
    let why = obstacle(programs);
    if let Some(why) = &why {
        Report::skip(name, why);
    }
    why.is_none()
}

pub(crate) struct Engine {
    home: Option<TempDir>,
    /// What begins every command, and the variables that it needs.
    command: Vec<OsString>,
    variables: Vec<(&'static str, PathBuf)>,
    daemon: Option<Child>,
    /// The control group above all of its containers.
    group: String,
}

impl Engine {
    /// dockerd with a containerd of its own. It touches neither the network nor its usual folders. `Err`: why this
    /// machine cannot run it.
    pub(crate) fn docker() -> Result<Engine, String> {
        let (home, group) = home();
        let at = |name: &str| home.path().join(name);
        let with = |option: &str, path: &Path| {
            let mut text = OsString::from(option);
            text.push(path);
            text
        };
        fs::write(at("daemon.json"), "{}").unwrap();
        let socket = with("--host=unix://", &at("docker.sock"));
        let log = File::create(at("daemon.log")).unwrap();
        let daemon = Command::new(find("dockerd").unwrap())
            .args(["--iptables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none"])
            .arg("--userland-proxy=false")
            .arg(with("--config-file=", &at("daemon.json")))
            .arg(with("--data-root=", &at("data")))
            .arg(with("--exec-root=", &at("exec")))
            .arg(with("--pidfile=", &at("docker.pid")))
            .arg(format!("--cgroup-parent=/{group}"))
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut engine = Engine {
            command: vec![find("docker").unwrap().into(), socket],
            variables: vec![("DOCKER_CONFIG", at("client"))],
            daemon: Some(daemon),
            group,
            home: Some(home),
        };
        let limit = Instant::now() + seconds(60);
        while !engine.call().arg("version").output().unwrap().status.success() {
            let is_dead = engine.daemon.as_mut().is_some_and(|daemon| daemon.try_wait().unwrap().is_some());
            let log = || fs::read_to_string(engine.path("daemon.log")).unwrap_or_default();
            if is_dead || Instant::now() > limit {
                return Err(format!("dockerd does not run on this machine: {}", log()));
            }
            thread::sleep(millis(100));
        }
        engine.import()?;
        engine.try_out(&[])?;
        Ok(engine)
    }

    /// podman, which starts a conmon for each container; `limits`: options that every one needs. `Err`: why this machine
    /// cannot run it.
    pub(crate) fn podman(limits: &[&str]) -> Result<Engine, String> {
        let (home, group) = home();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("networks")).unwrap();
        // Its locks are elsewhere in memory that all of its kind on a machine share.
        let config = format!(
            "[engine]\nlock_type = \"file\"\nevents_logger = \"none\"\n[network]\nnetwork_config_dir = {:?}\n",
            at("networks")
        );
        fs::write(at("containers.conf"), config).unwrap();
        let mut runc = OsString::from("root=");
        runc.push(at("runc"));
        let mut command: Vec<OsString> = vec![find("podman").unwrap().into()];
        for (option, name) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.extend([option.into(), at(name).into()]);
        }
        command.extend(["--runtime".into(), find("runc").unwrap().into()]);
        command.extend(["--runtime-flag".into(), runc, "--cgroup-manager=cgroupfs".into()]);
        let variables = vec![("CONTAINERS_CONF", at("containers.conf"))];
        let engine = Engine { command, variables, daemon: None, group, home: Some(home) };
        engine.import()?;
        engine.try_out(limits)?;
        Ok(engine)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.as_ref().expect("it is there until the end").path().join(name)
    }

    /// The control group to put a container in.
    pub(crate) fn group(&self) -> String {
        format!("/{}", self.group)
    }

    fn call(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::null());
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command of the engine. Returns what it says, without white space around it.
    #[track_caller]
    pub(crate) fn run(&self, args: impl IntoIterator<Item = OsString>) -> String {
        self.try_run(args).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_run(&self, args: impl IntoIterator<Item = OsString>) -> Result<String, String> {
        let done = self.call().args(args).output().unwrap();
        match done.status.success() {
            true => Ok(String::from_utf8(done.stdout).unwrap().trim().to_owned()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    }

    /// A container that ends at once: where none can be started, the machine is the reason.
    fn try_out(&self, limits: &[&str]) -> Result<(), String> {
        let mut args: Vec<OsString> = ["run", "--rm", "--network", "none", "--cgroup-parent"].map(Into::into).into();
        args.push(self.group().into());
        args.extend(limits.iter().map(Into::into));
        args.extend([IMAGE, "sh", "-c", ":"].map(Into::into));
        let done = self.try_run(args);
        done.map(drop).map_err(|error| format!("no container can be started on this machine: {error}"))
    }

    /// Makes the image, of the busybox that is here.
    fn import(&self) -> Result<(), String> {
        let programs = self.path("image/bin");
        fs::create_dir_all(&programs).unwrap();
        fs::copy(find("busybox").unwrap(), programs.join("busybox")).unwrap();
        for name in ["sh", "cat", "sleep"] {
            symlink("busybox", programs.join(name)).unwrap();
        }
        let image = self.path("image.tar");
        let done = Command::new("tar").arg("-C").arg(self.path("image")).arg("-cf").arg(&image).arg(".").status();
        assert!(done.unwrap().success());
        let done = self.try_run(["import".into(), image.into(), IMAGE.into()]);
        done.map(drop).map_err(|error| format!("no image can be made on this machine: {error}"))
    }

    /// containerd, which dockerd has started.
    fn children(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.path("exec/containerd/containerd.pid")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Its control groups: one, or one for each controller.
    fn groups(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|item| item.path());
        let groups = folders.chain(["/sys/fs/cgroup".into()]).map(|path| path.join(&self.group));
        groups.filter(|path| path.is_dir()).collect()
    }

    /// What is left of it in the system.
    fn remains(&self) -> Vec<String> {
        let home = self.path("");
        let home = home.to_str().unwrap();
        let mut remains: Vec<String> = mounts(home).iter().map(|path| format!("mounted: {path}")).collect();
        remains.extend(self.groups().iter().map(|path| format!("a control group: {}", path.display())));
        for item in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(item.path().join("cmdline")).unwrap_or_default();
            if memchr::memmem::find(&line, home.as_bytes()).is_some() {
                remains.push(format!("{:?} runs: {}", item.file_name(), String::from_utf8_lossy(&line)));
            }
        }
        remains
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let containerd = self.children();
        if let Some(daemon) = &mut self.daemon {
            let _ = kill_process(Pid::from_child(daemon), Signal::TERM);
            if !ends(daemon, seconds(20)) {
                let _ = daemon.kill();
                let _ = daemon.wait();
                // It ends its containerd when it can.
                containerd.map(|pid| kill_process(pid, Signal::KILL));
            }
        }
        // podman keeps its folder mounted on itself, for the next command.
        for path in mounts(self.path("").to_str().unwrap()).iter().rev() {
            let _ = Command::new("umount").arg(path).output();
        }
        let is_clean = || {
            self.groups().iter().for_each(|group| ungroup(group));
            self.remains().is_empty()
        };
        let limit = Instant::now() + seconds(10);
        while !is_clean() && Instant::now() < limit {
            thread::sleep(millis(50));
        }
        let remains = self.remains();
        let home = self.home.take().map(TempDir::close);
        if thread::panicking() {
            return;
        }
        assert!(remains.is_empty(), "left behind: {remains:#?}");
        assert!(home.is_none_or(|done| done.is_ok()), "the folder cannot be removed");
    }
}

fn home() -> (TempDir, String) {
    let home = tempfile::Builder::new().prefix("auditship-rt-").tempdir().unwrap();
    let group = home.path().file_name().unwrap().to_str().unwrap().to_owned();
    (home, group)
}

/// Removes a control group with those below it, as far as nothing runs in them.
fn ungroup(group: &Path) {
    let items = fs::read_dir(group).into_iter().flatten().flatten().map(|item| item.path());
    items.filter(|path| path.is_dir()).for_each(|path| ungroup(&path));
    let _ = fs::remove_dir(group);
}

/// What is mounted there or below, in the order of mounting.
fn mounts(folder: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let paths = table.lines().filter_map(|line| line.split(' ').nth(1));
    paths.filter(|path| path.starts_with(folder.trim_end_matches('/'))).map(str::to_owned).collect()
}

fn ends(child: &mut Child, limit: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if child.try_wait().is_ok_and(|end| end.is_some()) {
            return true;
        }
        thread::sleep(millis(20));
    }
    false
}

/// A container; removed when it is dropped.
pub(crate) struct Container<'a> {
    engine: &'a Engine,
    pub(crate) id: String,
}

impl<'a> Container<'a> {
    /// One that is not started, with these options before the image; it runs the shell's script `/in/script`.
    pub(crate) fn create(engine: &'a Engine, options: &[String]) -> Container<'a> {
        let mut args: Vec<OsString> = ["create", "--network", "none", "--cgroup-parent"].map(Into::into).into();
        args.push(engine.group().into());
        args.extend(options.iter().map(Into::into));
        args.extend([IMAGE, "sh", "/in/script"].map(Into::into));
        let id = engine.run(args);
        Container { engine, id }
    }

    fn run(&self, command: &str) -> String {
        self.engine.run([command.into(), (&self.id).into()])
    }

    pub(crate) fn start(&self) {
        self.run("start");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&self, limit: Duration) {
        eventually(limit, "the container ends", || {
            thread::sleep(millis(100));
            self.engine.run(["inspect", "--format", "{{.State.Status}}", &self.id].map(Into::into)) == "exited"
        });
        assert_eq!(self.run("wait"), "0");
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.engine.call().args(["rm", "--force", "--volumes"]).arg(&self.id).output();
    }
}
