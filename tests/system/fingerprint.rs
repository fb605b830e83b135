//! The device that pages see is the profile's in every scope, and it is shown only with a grant.

use armada_protocol::{Inventory, Status};
use armada_tests::calls;
use armada_tests::guests::component;
use armada_tests::run::TestRun;
use armada_tests::site::Site;
use armada_tests::upstreams::UpstreamProxy;
use serde_json::{Value, json};

/// The device that an agent of these settings has shown to the pages of a site.
fn shown(site: &Site, settings: &Value) -> Value {
    result(run(site).agent_message(json!({"config_fingerprint": settings})))
}

fn run(site: &Site) -> TestRun {
    TestRun::of(component("fingerprint")).jobs([json!({"site": site.url()})])
}

fn result(run: TestRun) -> Value {
    let finished = run.finish();
    let job = &finished.jobs[0];
    assert_eq!(job.status, Status::Success, "{:?} {:?}", job.error, finished.agents);
    serde_json::from_str(job.result.as_ref().unwrap().get()).unwrap()
}

/// What a scope should see under a name, if it sees such a thing.
fn expected(profile: &Value, name: &str) -> Value {
    let languages = profile["languages"].as_array().unwrap();
    let listed = |brands: &Value| {
        let brands = brands.as_array().unwrap().iter();
        let quoted = brands.map(|one| format!("{};v={}", one["brand"], one["version"]));
        quoted.collect::<Vec<_>>().join(", ")
    };
    match name {
        "language" | "locale" => languages[0].clone(),
        "number" => json!(if languages[0] == "de-DE" { "1.234,5" } else { "1,234.5" }),
        "headerUserAgent" => profile["userAgent"].clone(),
        "headerLanguage" => json!(format!("{},{};q=0.9", languages[0], languages[1]).replace('"', "")),
        "uaFullVersion" => {
            let list = profile["fullVersionList"].as_array().unwrap();
            list.iter().find(|one| one["brand"] == "Chromium").unwrap()["version"].clone()
        }
        "hintUserAgent" => json!(listed(&profile["brands"])),
        "platformOfHints" => profile["hintPlatform"].clone(),
        "hintPlatform" => json!(profile["hintPlatform"].to_string()),
        "hintMobile" => json!(if profile["mobile"] == true { "?1" } else { "?0" }),
        "hintMemory" => json!(profile["memory"].as_f64().unwrap().to_string()),
        "coarse" => json!(profile["touchPoints"] != 0),
        name => profile[name].clone(),
    }
}

/// Tells every difference between what a scope sees and the profile.
fn differences(scope: &str, seen: &Value, profile: &Value) -> Vec<String> {
    let seen = seen.as_object().unwrap_or_else(|| panic!("{scope} has seen nothing: {seen}"));
    assert!(seen.len() >= 15, "{scope} has seen too little: {seen:?}");
    let same = |one: &Value, other: &Value| one == other || (one.is_number() && one.as_f64() == other.as_f64());
    let differ = seen.iter().filter(|(name, value)| !same(&expected(profile, name), value));
    differ.map(|(name, value)| format!("{scope}: {name} is {value}, not {}", expected(profile, name))).collect()
}

#[test]
fn every_scope_sees_the_device_of_the_profile() {
    calls::record();
    let site = Site::start();
    let mut wrong = Vec::new();
    let first = shown(&site, &json!({"fingerprint_enabled": 1, "device_profile": "windows-desktop"}));
    let names: Vec<String> = serde_json::from_value(first["profiles"].clone()).unwrap();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let settings = json!({
            "fingerprint_enabled": 1, "device_profile": name, "locale": "de-DE", "timezone": "Asia/Tokyo",
        });
        let told = shown(&site, &settings);
        let profile = &told["profile"];
        assert_eq!((&profile["name"], &profile["timezone"]), (&json!(name), &json!("Asia/Tokyo")));
        let scopes = told["scopes"].as_array().unwrap();
        assert!(scopes[0][1].get("hintMemory").is_some(), "the page's server was not told of the memory: {scopes:?}");
        assert_eq!(scopes.len(), 8, "{scopes:?}");
        for scope in scopes {
            let title = format!("{name}, {}", scope[0].as_str().unwrap());
            wrong.extend(differences(&title, &scope[1], profile));
        }
        for (header, expected_as) in [
            ("user-agent", "headerUserAgent"),
            ("accept-language", "headerLanguage"),
            ("sec-ch-ua", "hintUserAgent"),
            ("sec-ch-ua-platform", "hintPlatform"),
            ("sec-ch-ua-mobile", "hintMobile"),
        ] {
            let expected = expected(profile, expected_as);
            if told["document"][header] != expected {
                wrong.push(format!("{name}, document: {header} is {}, not {expected}", told["document"][header]));
            }
        }
        assert_eq!(told["viewport"], profile["viewport"], "{name}");
        let major = profile["userAgent"].as_str().unwrap().split("Chrome/").nth(1).unwrap().split('.').next().unwrap();
        assert!(told["product"].as_str().unwrap().contains(&format!("Chrome/{major}.")), "{told}");
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    let missing: Vec<_> = calls::contract(&["fingerprint"]).difference(&calls::recorded()).cloned().collect();
    assert!(missing.is_empty(), "functions that nobody has called: {missing:?}");
}

#[test]
fn an_operator_adds_profiles_and_replaces_them() {
    let folder = tempfile::tempdir().unwrap();
    let profile = |name: &str, cores: u32| {
        json!({
            "name": name, "user_agent_system": "X11; Linux aarch64", "platform": "Linux aarch64",
            "hint_platform": "Linux", "platform_version": "6.1.0", "architecture": "arm", "bitness": "64",
            "screen": [1080, 1900], "viewport": [1080, 1800], "pixel_ratio": 1.5, "cores": cores, "memory": 2,
        })
    };
    let profiles = json!([profile("kiosk", 3), profile("linux-desktop", 7)]).to_string();
    std::fs::write(folder.path().join("profiles.json"), profiles).unwrap();
    let path = folder.path().join("inventory.toml");
    std::fs::write(&path, format!("device_profiles = \"{}/profiles.json\"", folder.path().display())).unwrap();
    let (inventory, site) = (Inventory::open(&path).unwrap(), Site::start());
    for (name, cores) in [("kiosk", 3), ("linux-desktop", 7)] {
        let settings =
            json!({"config_fingerprint": {"fingerprint_enabled": 1, "device_profile": name, "timezone": "Asia/Tokyo"}});
        let told = result(run(&site).inventory(inventory.clone()).agent_message(settings));
        assert_eq!((&told["profile"]["name"], &told["profile"]["cores"]), (&json!(name), &json!(cores)));
        assert_eq!(told["profiles"].as_array().unwrap().len(), 6, "{told}");
        let page = &told["scopes"][0][1];
        assert_eq!(differences(name, page, &told["profile"]), Vec::<String>::new());
    }
}

#[test]
fn a_device_is_in_the_country_where_its_traffic_comes_out() {
    let (site, proxy) = (Site::start(), UpstreamProxy::http("127.0.0.11"));
    let shown_in = |location: &str, timezone: Option<&str>| {
        let mut device = json!({"fingerprint_enabled": 1, "device_profile": "linux-desktop"});
        if let Some(timezone) = timezone {
            device["timezone"] = json!(timezone);
        }
        let inventory = Inventory { upstreams: vec![proxy.entry("one", location)], ..Inventory::default() };
        let message = json!({"config_proxy": {"upstream_proxy_enabled": 1}, "config_fingerprint": device});
        let told = result(run(&site).inventory(inventory).agent_message(message));
        let page = &told["scopes"][0][1];
        assert_eq!(differences(location, page, &told["profile"]), Vec::<String>::new());
        (page["timezone"].clone(), page["language"].clone())
    };
    assert_eq!(shown_in("DE", None), (json!("Europe/Berlin"), json!("de-DE")));
    assert_eq!(shown_in("DE", Some("Asia/Tokyo")), (json!("Asia/Tokyo"), json!("de-DE")));
    assert_eq!(shown_in("Middle-earth", Some("Asia/Tokyo")), (json!("Asia/Tokyo"), json!("en-US")));
}

#[test]
fn a_device_that_is_not_granted_is_refused_and_not_shown_as_another() {
    let site = Site::start();
    let message = json!({"config_fingerprint": {"fingerprint_enabled": 1}});
    let sandbox = json!({"capabilities": ["browser", "monitoring"], "allowed_hosts": [site.host()]});
    let not_asked = run(&site).sandbox(sandbox);
    let not_allowed = run(&site).ceiling(json!({"capabilities": ["browser", "monitoring"]}));
    for (run, says) in [
        (not_asked, "add \"fingerprint\" to run_message.sandbox.capabilities in config/config_template.json"),
        (not_allowed, "the project asks for it, but the operator's ceiling does not allow it"),
    ] {
        let told = result(run.agent_message(message.clone()));
        assert_eq!(told["kind"], "denied", "{told}");
        for key in ["said", "browser"] {
            assert!(told[key].as_str().unwrap().contains(says), "{told}");
        }
    }
}

#[test]
fn a_profile_that_there_is_not_and_none_at_all_are_told() {
    let site = Site::start();
    let unknown = shown(&site, &json!({"fingerprint_enabled": 1, "device_profile": "teapot"}));
    assert_eq!(unknown["kind"], "not found", "{unknown}");
    assert!(unknown["said"].as_str().unwrap().contains("the profiles are windows-desktop"), "{unknown}");
    let none = shown(&site, &json!({}));
    assert_eq!((&none["kind"], &none["browser"]), (&json!("invalid"), &json!("opened")));
    assert!(none["said"].as_str().unwrap().contains("fingerprint_enabled"), "{none}");
}
