//! Reading from the file system: which files, in which order, and whose. Needs root: whom a file
//! belongs to is the point.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use bridgewall::policy::{Report, Trust, load};
use tempfile::TempDir;

const ALLOW: &str = "[[allow]]\nfrom = \"any\"\nto = \"any\"\n";
const STRANGER: u32 = 12_345;

/// A folder that only root can write, all the way from the root: not below `/tmp`.
struct Etc(TempDir);

impl Etc {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("bridgewall-policy-")
            .tempdir_in("/run")
            .unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn policy(&self) -> PathBuf {
        self.write("policy.toml", ALLOW)
    }
}

fn refusal(path: &Path, trust: Trust) -> String {
    load(path, trust).unwrap_err().to_string()
}

#[track_caller]
fn assert_untrusted(path: &Path, message: &str) {
    assert!(
        load(path, Trust::Any).is_ok(),
        "refused even for a look: {}",
        refusal(path, Trust::Any)
    );
    let found = refusal(path, Trust::RootOnly);
    assert!(found.contains(message), "expected {message:?} in:\n{found}");
}

#[test]
fn files_of_policy_d_follow_in_lexical_order() {
    let etc = Etc::new();
    let policy = etc.policy();
    for name in ["20-b.toml", "10-a.toml", "9-c.toml"] {
        etc.write(
            &format!("policy.d/{name}"),
            format!("[[deny]]\nname = \"{name}\"\nfrom = \"any\"\nto = \"any\"\n"),
        );
    }
    let policy = load(&policy, Trust::RootOnly).unwrap();
    let names: Vec<_> = policy
        .rules
        .iter()
        .map(|rule| rule.name.as_deref().unwrap_or("first"))
        .collect();
    assert_eq!(names, ["first", "10-a.toml", "20-b.toml", "9-c.toml"]);
    assert_eq!(policy.files.len(), 4);
}

#[test]
fn only_visible_toml_files_of_policy_d_count() {
    let etc = Etc::new();
    let policy = etc.policy();
    for name in [".10.toml", "10.toml.bak", "10.toml~", "README", ".#10.toml"] {
        etc.write(&format!("policy.d/{name}"), "not a policy");
    }
    assert_eq!(load(&policy, Trust::RootOnly).unwrap().files, [policy]);
}

#[test]
fn a_missing_policy_d_is_fine_and_a_dangling_one_is_not() {
    let etc = Etc::new();
    let policy = etc.policy();
    assert!(load(&policy, Trust::RootOnly).is_ok());
    symlink("/nowhere/at/all", etc.path("policy.d")).unwrap();
    for trust in [Trust::RootOnly, Trust::Any] {
        assert!(refusal(&policy, trust).contains("does not exist"));
    }
}

#[test]
fn a_missing_policy_is_refused_by_name() {
    let etc = Etc::new();
    for trust in [Trust::RootOnly, Trust::Any] {
        let found = refusal(&etc.path("policy.toml"), trust);
        assert!(found.contains("policy.toml does not exist"), "{found}");
    }
}

#[test]
fn network_files_are_found_beside_the_file_that_names_them() {
    let etc = Etc::new();
    let policy = etc.policy();
    etc.write(
        "policy.d/block.toml",
        "[networks.bad]\nfile = \"lists/bad.txt\"\n",
    );
    let list = etc.write(
        "policy.d/lists/bad.txt",
        "\u{feff}192.0.2.0/24\r\n# all\n\n2001:db8::1 # one\n",
    );
    let policy = load(&policy, Trust::RootOnly).unwrap();
    let cidrs: Vec<_> = policy.networks[0]
        .cidrs
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(cidrs, ["192.0.2.0/24", "2001:db8::1/128"]);
    assert!(policy.files.contains(&list), "{:?}", policy.files);
}

#[test]
fn a_report_names_the_files_whose_change_may_mend_it() {
    let etc = Etc::new();
    let policy = etc.write("policy.toml", "[networks.bad]\nfile = \"missing.txt\"\n");
    let report: Report = load(&policy, Trust::RootOnly).unwrap_err();
    assert_eq!(report.files(), [policy, etc.path("missing.txt")]);
}

#[test]
fn a_list_of_200_000_lines_is_read_whole() {
    let etc = Etc::new();
    let policy = etc.write("policy.toml", "[networks.bad]\nfile = \"bad.txt\"\n");
    let line = |n: u32| format!("{}/32\n", std::net::Ipv4Addr::from(0x0a00_0000 + n));
    etc.write("bad.txt", (0..200_000).map(line).collect::<String>());
    assert_eq!(
        load(&policy, Trust::RootOnly).unwrap().networks[0]
            .cidrs
            .len(),
        200_000
    );
}

#[test]
fn what_is_no_file_is_refused_without_waiting_for_it() {
    let etc = Etc::new();
    let pipe = etc.path("pipe.toml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for trust in [Trust::RootOnly, Trust::Any] {
        assert!(refusal(&pipe, trust).contains("is a pipe, not a regular file"));
        assert!(refusal(etc.0.path(), trust).contains("is a folder, not a regular file"));
        assert!(refusal(Path::new("/dev/zero"), trust).contains("is a device, not a regular file"));
    }
    let policy = etc.policy();
    fs::create_dir_all(etc.path("policy.d/x.toml")).unwrap();
    assert!(refusal(&policy, Trust::Any).contains("x.toml is a folder"));
    fs::remove_dir_all(etc.path("policy.d")).unwrap();
    etc.write("policy.d", "a file");
    assert!(refusal(&policy, Trust::Any).contains("policy.d is a file, not a folder"));
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let etc = Etc::new();
    let policy = etc.write("policy.toml", "#".repeat((1 << 20) + 1));
    assert!(refusal(&policy, Trust::Any).contains("has more than 1024 KiB"));
}

#[test]
fn bytes_that_are_not_utf_8_are_reported_where_they_stand() {
    let etc = Etc::new();
    let policy = etc.write("policy.toml", b"[[allow]]\nname = \"caf\xe9\"\n");
    let found = refusal(&policy, Trust::Any);
    assert!(
        found.contains("not UTF-8") && found.contains("policy.toml:2:12"),
        "{found}"
    );
}

#[test]
fn a_file_that_others_may_write_is_not_trusted() {
    let etc = Etc::new();
    let policy = etc.policy();
    assert!(load(&policy, Trust::RootOnly).is_ok());
    for mode in [0o664, 0o646, 0o666] {
        fs::set_permissions(&policy, fs::Permissions::from_mode(mode)).unwrap();
        assert_untrusted(
            &policy,
            &format!("may be written by others than root (mode {mode:04o})"),
        );
    }
}

#[test]
fn a_file_of_another_user_is_not_trusted() {
    let etc = Etc::new();
    let policy = etc.policy();
    chown(&policy, Some(STRANGER), None).unwrap();
    assert_untrusted(&policy, "belongs to user 12345, not to root");
}

#[test]
fn a_folder_above_that_others_may_write_is_not_trusted() {
    let etc = Etc::new();
    let policy = etc.write("a/b/policy.toml", ALLOW);
    assert!(load(&policy, Trust::RootOnly).is_ok());
    // The sticky bit keeps others from removing the file, but not from adding a policy.d.
    for mode in [0o775, 0o777, 0o1777] {
        fs::set_permissions(etc.path("a"), fs::Permissions::from_mode(mode)).unwrap();
        assert_untrusted(
            &policy,
            &format!("a may be written by others than root (mode {mode:04o})"),
        );
    }
    fs::set_permissions(etc.path("a"), fs::Permissions::from_mode(0o755)).unwrap();
    chown(etc.path("a"), Some(STRANGER), None).unwrap();
    assert_untrusted(&policy, "a belongs to user 12345");
}

#[test]
fn links_are_followed_and_each_must_be_roots() {
    let etc = Etc::new();
    etc.write("real/v1/policy.toml", ALLOW);
    fs::create_dir(etc.path("link")).unwrap();
    // As configuration management does it: a relative link to a link to a folder.
    symlink("v1", etc.path("real/current")).unwrap();
    let link = etc.path("link/policy.toml");
    symlink("../real/current/policy.toml", &link).unwrap();
    assert!(
        load(&link, Trust::RootOnly).is_ok(),
        "{}",
        refusal(&link, Trust::RootOnly)
    );
    std::os::unix::fs::lchown(&link, Some(STRANGER), None).unwrap();
    assert_untrusted(&link, "link/policy.toml belongs to user 12345");
}

#[test]
fn a_link_into_a_folder_of_everybody_is_not_trusted() {
    let etc = Etc::new();
    let open = tempfile::tempdir_in("/tmp").unwrap();
    let target = open.path().join("policy.toml");
    fs::write(&target, ALLOW).unwrap();
    let link = etc.path("policy.toml");
    symlink(&target, &link).unwrap();
    assert_untrusted(&link, "/tmp may be written by others than root (mode 1777)");
}

#[test]
fn a_circle_of_links_ends() {
    let etc = Etc::new();
    symlink("b.toml", etc.path("a.toml")).unwrap();
    symlink("a.toml", etc.path("b.toml")).unwrap();
    for trust in [Trust::RootOnly, Trust::Any] {
        assert!(refusal(&etc.path("a.toml"), trust).contains("too many links"));
    }
}

#[test]
fn every_file_of_the_set_must_be_trusted() {
    let etc = Etc::new();
    let policy = etc.write("policy.toml", "[networks.bad]\nfile = \"bad.txt\"\n");
    let list = etc.write("bad.txt", "192.0.2.1\n");
    let more = etc.write("policy.d/more.toml", ALLOW);
    assert!(load(&policy, Trust::RootOnly).is_ok());
    for (path, name) in [
        (list, "bad.txt"),
        (more, "more.toml"),
        (etc.path("policy.d"), "policy.d"),
    ] {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(before.mode() | 0o020)).unwrap();
        assert_untrusted(&policy, &format!("{name} may be written by others"));
        fs::set_permissions(&path, before).unwrap();
    }
}

#[test]
fn the_policy_that_is_installed_is_a_good_one_that_drops_nothing() {
    use bridgewall::policy::model::{Action, Mode};
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policy.toml");
    let policy = load(&path, Trust::Any).unwrap();
    assert_eq!(policy.defaults.mode, Mode::Audit);
    assert_eq!(policy.defaults.host_ingress, Action::Allow);
    assert_eq!(policy.defaults.host_egress, Action::Allow);
    assert!(
        policy
            .identities
            .iter()
            .all(|identity| identity.mode.is_none())
    );
    assert!(policy.rules.iter().all(|rule| rule.action == Action::Allow));
}
