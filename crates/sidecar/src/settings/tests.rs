use super::*;

fn from(toml_text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::from_parts(Some(toml_text), variables)
}

const BARE_METAL: &str = r#"
[cluster]
enabled = true
node_id = "node1"
bind_addr = "10.0.1.51:18181"
rpc_addr = "10.0.1.51:18182"
swim_addr = "10.0.1.51:18183"
seeds = ["10.0.1.52:18183", "10.0.1.53:18183"]
[replication]
factor = 2
"#;

#[test]
fn the_seeds_file_is_read_as_it_stands() {
    let settings = from(BARE_METAL, &[]).unwrap();
    assert_eq!(settings.cluster.node_id, "node1");
    assert_eq!(
        settings.cluster.seeds,
        ["10.0.1.52:18183", "10.0.1.53:18183"]
    );
    assert_eq!(settings.replication.factor, 2);
    assert_eq!(settings.cluster.num_shards, 256);
}

#[test]
fn a_variable_wins_over_the_file_and_its_origin_is_told() {
    let settings = from(BARE_METAL, &[("STEMEDB_REPLICATION_FACTOR", "3")]).unwrap();
    assert_eq!(settings.replication.factor, 3);
    let line = settings
        .explain()
        .iter()
        .find(|line| line.key == "replication.factor")
        .unwrap();
    assert_eq!(
        (line.value.as_str(), line.origin),
        ("3", Origin::Environment)
    );
}

#[test]
fn every_fault_is_told_at_once() {
    let error = from(
        "[cluster]\nnode_id = \"node1\"\nnum_shard = 4\n",
        &[
            ("STEMEDB_NUM_SHARDS", "5000"),
            ("STEMEDB_SEEDS", "a"),
            ("STEMEDB_RPC_ADDR", "here"),
        ],
    )
    .unwrap_err()
    .to_string();
    for expected in [
        "4 fault(s)",
        "cluster.num_shard: is not a setting; did you mean cluster.num_shards",
        "STEMEDB_SEEDS: is not a setting; did you mean STEMEDB_SEED_NODES",
        "`5000` (from environment) is not a whole number of 1 to 1024",
        "`here` (from environment) is not an address",
    ] {
        assert!(error.contains(expected), "{expected:?} is not in {error}");
    }
}

#[test]
fn a_node_alone_has_one_copy_and_no_seeds() {
    let settings = from(BARE_METAL, &[("STEMEDB_CLUSTER_MODE", "false")]).unwrap();
    assert_eq!(settings.replication.factor, 1);
    assert_eq!(settings.cluster.bootstrap_expect, 1);
    assert!(settings.cluster.seeds.is_empty());
}

#[test]
fn a_file_of_a_secret_that_holds_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let load = || {
        let file = [("STEMEDB_CLUSTER_SECRET_FILE", path.to_str().unwrap())];
        from(BARE_METAL, &file).map(|settings| settings.cluster.secret)
    };
    for empty in ["", " \n"] {
        std::fs::write(&path, empty).unwrap();
        let error = load().unwrap_err().to_string();
        assert!(error.contains("holds no secret"), "{error}");
    }
    std::fs::write(&path, "hush\n").unwrap();
    assert_eq!(load().unwrap().as_deref(), Some("hush"));
}

#[test]
fn secrets_are_not_shown() {
    let settings = from(BARE_METAL, &[("STEMEDB_CLUSTER_SECRET", "swordfish")]).unwrap();
    assert_eq!(settings.cluster.secret.as_deref(), Some("swordfish"));
    assert!(
        settings
            .explain()
            .iter()
            .all(|line| !line.value.contains("swordfish"))
    );
}

#[test]
fn each_setting_has_one_key_and_one_variable() {
    for (position, entry) in TABLE.iter().enumerate() {
        assert!(!entry.doc.is_empty(), "{} is not documented", entry.key);
        for other in &TABLE[position + 1..] {
            assert!(
                entry.key != other.key && entry.env != other.env,
                "{} twice",
                entry.key
            );
        }
    }
}

#[test]
fn the_defaults_are_the_ports_that_have_names() {
    let settings = from("", &[]).unwrap();
    let cluster = &settings.cluster;
    let listeners = [
        (cluster.api_addr, PORT_API),
        (cluster.bind_addr, PORT_ADMIN),
        (cluster.rpc_addr, PORT_RPC),
        (cluster.swim_addr, PORT_SWIM),
        (settings.loopback().gateway, PORT_LOOPBACK),
    ];
    for (listener, port) in listeners {
        assert_eq!(listener.port(), port);
    }
}

#[test]
fn the_page_of_settings_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(page, markdown(), "run UPDATE_DOCS=1 cargo test -p sidecar");
}
