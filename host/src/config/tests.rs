//! Every kind of mistake in a configuration, with its line and the nearest key.

use super::*;

/// Loads a text as the file `test.toml`, with flags.
fn load(text: &str, flags: Vec<FlagValue>) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path), flags)
}

fn settings(text: &str) -> Settings {
    load(text, Vec::new()).unwrap().settings
}

/// The message without the folder of the file.
fn refusal(text: &str) -> String {
    let message = load(text, Vec::new()).unwrap_err().to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message.split_once("test.toml:").map_or(message.clone(), |(_, rest)| rest.to_string())
}

#[test]
fn without_a_file_every_setting_has_its_default() {
    let config = Config::load(None, Vec::new()).unwrap();
    let settings = &config.settings;
    assert_eq!(settings.engine, "btree");
    assert_eq!(settings.server.listen, ["127.0.0.1:6379".parse().unwrap()]);
    assert_eq!((settings.server.unix_socket.as_ref(), settings.server.idle_timeout), (None, None));
    assert_eq!(settings.storage.dir, Path::new("./enginebay-data"));
    assert_eq!(settings.storage.durability, Durability::Always);
    assert_eq!(settings.limits.value_bytes_max, 64 << 20);
    for setting in SETTINGS {
        assert_eq!(config.origin(setting.name), Origin::Default, "{}", setting.name);
    }
}

#[test]
fn the_sample_file_parses_back_to_the_defaults_and_sets_every_setting() {
    let defaults = Config::load(None, Vec::new()).unwrap();
    let sampled = load(&sample(), Vec::new()).unwrap();
    assert_eq!(sampled.settings, defaults.settings);
    for setting in SETTINGS.iter().filter(|setting| !setting.is_table()) {
        assert!(matches!(sampled.origin(setting.name), Origin::File { .. }), "{}", setting.name);
    }
}

#[test]
fn every_setting_appears_in_the_sample_the_explanation_and_the_table() {
    let config = Config::load(None, Vec::new()).unwrap();
    let (sample, explained, table) = (sample(), explain(&config), table());
    for setting in SETTINGS {
        let line = match setting.is_table() {
            true => format!("\n[{}]\n", setting.name),
            false => format!("\n{} = {}\n", setting.key(), setting.default),
        };
        assert!(sample.contains(&line), "{} in the sample", setting.name);
        let line = format!("{} = {}    (from: default)\n", setting.name, setting.default);
        assert!(explained.contains(&line), "{line} in the explanation:\n{explained}");
        assert!(
            table.contains(&format!("| `{}` | `{}` |", setting.name, setting.default)),
            "{}",
            setting.name
        );
        let first_words = setting.help.split(' ').take(4).collect::<Vec<_>>().join(" ");
        assert!(
            sample.contains(&first_words) && explained.contains(&first_words),
            "help of {}",
            setting.name
        );
    }
}

#[test]
fn every_value_of_a_file_is_taken() {
    let hash = "AB".repeat(32);
    let settings = settings(&format!(
        r#"
        engine = "./my.so"
        [server]
        listen = ["127.0.0.1:0", "[::1]:7000", "localhost:7001"]
        unix_socket = "/run/bay.sock"
        max_clients = 5
        idle_timeout_s = 30
        [plugins]
        dirs = "plugins"
        pins = {{ tiny = "{hash}" }}
        [storage]
        dir = "data"
        durability = "interval(250ms)"
        options = {{ mode = "naive", cache = 5, fast = true }}
        [limits]
        value_bytes_max = "1MiB"
        queued_bytes_max = 2097152
        "#
    ));
    assert_eq!(settings.engine, "./my.so");
    assert_eq!(settings.server.listen.iter().map(SocketAddr::port).collect::<Vec<_>>(), [0, 7000, 7001]);
    assert_eq!(settings.server.unix_socket.as_deref(), Some(Path::new("/run/bay.sock")));
    assert_eq!(
        (settings.server.max_clients, settings.server.idle_timeout),
        (5, Some(Duration::from_secs(30)))
    );
    assert_eq!(settings.plugins.dirs, [Path::new("plugins")]);
    assert_eq!(settings.plugins.pins["tiny"], hash.to_lowercase());
    assert_eq!(settings.storage.durability, Durability::Interval(Duration::from_millis(250)));
    let options: Vec<_> =
        settings.storage.options.iter().map(|o| (o.name.as_str(), o.value.as_str())).collect();
    assert_eq!(options, [("mode", "naive"), ("cache", "5"), ("fast", "true")]);
    assert_eq!((settings.limits.value_bytes_max, settings.limits.queued_bytes_max), (1 << 20, 2 << 20));
}

#[test]
fn an_unknown_key_names_the_line_and_the_nearest_key() {
    let cases = [
        ("[server]\nlisten = []\nlisen = 1", "3: unknown key server.lisen; did you mean server.listen?"),
        ("\n\nlisten = 1", "3: unknown key listen; did you mean server.listen?"),
        (
            "[storage]\nvalue_bytes_max = 1",
            "2: unknown key storage.value_bytes_max; did you mean limits.value_bytes_max?",
        ),
        ("[sevrer]\nlisten = []", "1: unknown table [sevrer]; did you mean [server]?"),
        (
            "[server]\nabracadabra = \"x\"",
            "2: unknown key server.abracadabra; `enginebay config default` shows every key",
        ),
        ("server = 5", "1: server is a table; write [server] and its keys on the lines below"),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), expected);
    }
}

#[test]
fn a_wrong_value_names_the_line_the_value_and_what_is_taken() {
    let cases = [
        ("engine = 5", "1: engine = 5 is not taken; write a text"),
        ("engine = \"\"", "1: engine = \"\" is not taken; write a text that is not empty"),
        (
            "[server]\nmax_clients = 0",
            "2: server.max_clients = 0 is not taken; write a whole number of clients from 1 to 1000000",
        ),
        ("[server]\nmax_clients = \"5\"", "2: server.max_clients = \"5\" is not taken"),
        ("[server]\nmax_clients = 1.5", "2: server.max_clients = 1.5 is not taken"),
        ("[server]\nmax_clients = -1", "2: server.max_clients = -1 is not taken"),
        (
            "[server]\nmax_clients = 99999999999999999999",
            "2: server.max_clients = 99999999999999999999 is not taken",
        ),
        ("[server]\ninsecure = \"yes\"", "2: server.insecure = \"yes\" is not taken; write true or false"),
        (
            "[server]\nlisten = \"*:6379\"",
            "2: server.listen = \"*:6379\" is not taken; write an IP address with a port",
        ),
        ("[server]\nlisten = [\"127.0.0.1:1\", 2]", "2: server.listen = [\"127.0.0.1:1\", 2] is not taken"),
        ("[server.listen]\na = 1", "1: server.listen = a table is not taken"),
        (
            "[storage]\ndurability = \"sometimes\"",
            "2: storage.durability = \"sometimes\" is not taken; write \"always\"",
        ),
        (
            "[limits]\nvalue_bytes_max = \"64MB\"",
            "2: limits.value_bytes_max = \"64MB\" is not taken; write a number of bytes",
        ),
        (
            "[limits]\nvalue_bytes_max = \"1GiB\"",
            "2: limits.value_bytes_max = \"1GiB\" is not taken; write a number of bytes from 1KiB to 512MiB",
        ),
        (
            "[plugins.pins]\ntiny = \"abc\"",
            "2: plugins.pins.tiny = \"abc\" is not taken; write a table of engine names",
        ),
        ("[storage]\noptions = 1", "2: storage.options = 1 is not taken"),
        ("[storage.options]\na = [1]", "2: storage.options.a = [1] is not taken"),
    ];
    for (text, expected) in cases {
        let message = refusal(text);
        assert!(message.starts_with(expected), "{message}\nshould begin with\n{expected}");
    }
}

#[test]
fn the_first_mistake_in_the_file_is_the_one_reported() {
    assert!(refusal("[storage]\nzzz = 1\n[limits]\naaa = 1").starts_with("2: "));
}

#[test]
fn what_is_not_toml_names_its_line_on_one_line() {
    for text in ["a = 1\nengine =", "a = 1\n[server", "x = 1\nx = 2"] {
        let message = refusal(text);
        assert!(message.starts_with("2: this is not TOML: "), "{message}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let message = Config::load(Some(Path::new("/no/such.toml")), Vec::new()).unwrap_err().to_string();
    assert!(
        message.starts_with("cannot read the configuration file /no/such.toml: No such file"),
        "{message}"
    );
    let endless = Config::load(Some(Path::new("/dev/zero")), Vec::new()).unwrap_err().to_string();
    assert!(endless.ends_with("it is larger than 1048576 bytes"), "{endless}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.toml");
    std::fs::write(&path, b"engine = \"\xe9\"").unwrap();
    let latin = Config::load(Some(&path), Vec::new()).unwrap_err().to_string();
    assert!(latin.ends_with("it is not UTF-8 text (byte 10)"), "{latin}");
}

#[test]
fn a_flag_wins_over_the_file_and_each_value_knows_its_origin() {
    let flags = vec![
        FlagValue::new("engine", Value::Text("memory".to_string())).unwrap(),
        FlagValue::entry("storage.options", "mode", Value::Text("naive".to_string())).unwrap(),
    ];
    let text =
        "engine = \"snapshot\"\n[storage]\ndir = \"d\"\n[storage.options]\nmode = \"atomic\"\nother = 1";
    let config = load(text, flags).unwrap();
    assert_eq!(config.settings.engine, "memory");
    assert_eq!(config.origin("engine").to_string(), "--engine");
    assert!(config.origin("storage.dir").to_string().ends_with("test.toml:3"));
    let options = &config.settings.storage.options;
    let origins: Vec<_> =
        options.iter().map(|o| (o.name.as_str(), o.value.as_str(), o.origin.to_string())).collect();
    assert_eq!(origins[1], ("mode", "naive", "--option".to_string()));
    assert!(origins[0].0 == "other" && origins[0].2.ends_with("test.toml:6"), "{origins:?}");
    assert!(explain(&config).contains("engine = \"memory\"    (from: --engine)\n"));
}

#[test]
fn a_refused_flag_is_named() {
    let flag = FlagValue::new("storage.durability", Value::Text("never".to_string())).unwrap();
    let message = Config::load(None, vec![flag]).unwrap_err().to_string();
    assert!(message.starts_with("--durability: storage.durability = \"never\" is not taken"), "{message}");
    assert!(FlagValue::new("server.max_clients", Value::Integer(1)).is_none(), "it has no flag");
}

#[test]
fn an_address_that_others_reach_needs_a_password_or_consent() {
    for address in ["0.0.0.0:6379", "[::]:6379", "192.168.1.5:1", "[::ffff:10.0.0.1]:1"] {
        let message = refusal(&format!("[server]\nlisten = \"{address}\""));
        assert!(
            message.starts_with("2: server.listen = ")
                && message.contains("insecure = true")
                && message.contains("requirepass"),
            "{message}"
        );
        let with_password = settings(&format!("[server]\nlisten = \"{address}\"\nrequirepass = \"long\""));
        assert!(with_password.server.password.is_some_and(|password| password.is(b"long")));
        let without = refusal(&format!("[server]\nlisten = \"{address}\"\nrequirepass = \"\""));
        assert!(without.contains("no password is set"), "{without}");
        assert_eq!(
            settings(&format!("[server]\nlisten = \"{address}\"\ninsecure = true")).server.listen.len(),
            1
        );
    }
    for address in ["127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(settings(&format!("[server]\nlisten = \"{address}\"")).server.listen.len(), 1);
    }
}

#[test]
fn a_password_is_never_shown() {
    let config = load("[server]\nrequirepass = \"sekrit\"", Vec::new()).unwrap();
    let explained = explain(&config);
    assert!(explained.contains("server.requirepass = \"(hidden)\"") && !explained.contains("sekrit"));
    assert!(config.values().all(|(_, value)| !value.contains("sekrit")));
    let refused = refusal("[server]\nrequirepass = [\"sekrit\", 5]");
    assert!(refused.starts_with("2: server.requirepass = (hidden) is not taken"), "{refused}");
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    assert!(refusal("[server]\nlisten = []").contains("nothing to listen on"));
    assert!(settings("[server]\nlisten = []\nunix_socket = \"s\"").server.listen.is_empty());
    let message = refusal("[limits]\nrequest_bytes_max = \"1MiB\"");
    assert!(message.starts_with("2: limits.request_bytes_max = 1MiB is less than"), "{message}");
}

#[test]
fn engine_options_are_checked_against_the_engine_with_their_line() {
    let mut engine = adapter_api::Description::new("tiny", "1", "a test");
    engine.options = vec![
        adapter_api::OptionSpec::choice("mode", &["atomic", "naive"], ""),
        adapter_api::OptionSpec::integer("cache", "bytes", 1024, 0, 4096, ""),
    ];
    let check = |text: &str| engine_options(&engine, &settings(text).storage.options);
    let refused = |text: &str| {
        let message = check(text).unwrap_err().to_string();
        message.split_once("test.toml:").map_or(message.clone(), |(_, rest)| rest.to_string())
    };
    let options = check("[storage.options]\ncache = \"1KiB\"").unwrap();
    assert_eq!((options.text("mode"), options.integer("cache")), ("atomic", 1024));
    assert_eq!(
        refused("[storage.options]\n\nmod = 1"),
        "3: engine tiny has no option \"mod\"; did you mean mode?"
    );
    assert_eq!(
        refused("[storage.options]\nzzzzzz = 1"),
        "2: engine tiny has no option \"zzzzzz\"; it has mode, cache"
    );
    assert_eq!(
        refused("[storage.options]\nmode = \"naive\"\ncache = 5000"),
        "3: engine tiny: option cache = \"5000\" is not a whole number from 0 to 4096 bytes"
    );
}

#[test]
fn names_defaults_and_flags_of_the_schema_are_sound() {
    for (index, setting) in SETTINGS.iter().enumerate() {
        assert!(!setting.help.is_empty() && setting.help.ends_with('.'), "{}", setting.name);
        assert!(
            SETTINGS[..index].iter().all(|earlier| earlier.name != setting.name),
            "{} twice",
            setting.name
        );
        // A key behind another table's header would belong to that table in the sample file.
        let gap = SETTINGS[..index]
            .iter()
            .rposition(|earlier| earlier.table() == setting.table() && !setting.is_table());
        assert!(gap.is_none_or(|gap| gap + 1 == index), "{} stands apart from its table", setting.name);
    }
}
