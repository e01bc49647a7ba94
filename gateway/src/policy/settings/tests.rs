use super::*;

fn parse(text: &str) -> Result<Settings, String> {
    Settings::parse(Path::new("p.yaml"), text).map_err(|error| error.to_string())
}

#[test]
fn everything_may_be_left_out() {
    for text in ["", "# nothing\n", "disable: []\n"] {
        let settings = parse(text).expect("settings");
        assert_eq!(settings.switches, Switches::ON);
        assert_eq!(settings.limits.body_bytes, 4 * 1024 * 1024);
    }
}

#[test]
fn a_whole_file_is_read() {
    let settings = parse(
        r#"
disable: [compression]
trusted_proxies: [10.0.0.0/8, "::1"]
cors:
  origins: [https://shop.example]
  headers: [authorization, x-tenant]
  credentials: true
  max_age: 5m
rates:
  read: 7/s burst 9
  strict: 3/min
cache: {max_bytes: 1MiB}
compression: {min_bytes: 100}
limits:
  body: 64KiB
  body_timeout: 5s
  headers: 16KiB
  header_count: 20
  header_timeout: 1500ms
routes:
  - route: GET /v1/products/{product_id}
    disable: [rate]
    cache: {ttl: 30s, stale_if_error: 5m, per_caller: true}
  - route: /caravan.catalog.v1.CatalogService/CreateProduct
    access: [admin, services]
    rate: heavy
    body: 1KiB
  - route: POST /v1/sessions
    access: []
    rate: 1/min burst 3
"#,
    )
    .expect("settings");
    assert!(!settings.switches.compression && settings.switches.cache);
    assert_eq!(settings.trusted_proxies.len(), 2);
    assert_eq!(settings.cache_bytes, 1024 * 1024);
    assert_eq!(settings.limits.header_timeout, Duration::from_millis(1500));
    assert_eq!(
        (settings.limits.headers, settings.limits.body_bytes),
        (20, 65_536)
    );
    let [products, create, sessions] = &settings.routes[..] else {
        panic!("{:?}", settings.routes);
    };
    assert_eq!(
        products.cache.expect("a cache").stale_if_error,
        Duration::from_secs(300)
    );
    assert!(!products.switches(Switches::ON).rate);
    assert_eq!(
        create.route,
        "caravan.catalog.v1.CatalogService/CreateProduct"
    );
    let access = create.access.as_ref().expect("access");
    assert!(access.services && access.roles == ["admin"] && !access.public);
    assert_eq!(sessions.access, Some(Access::default()));
    assert_eq!(sessions.place, "p.yaml:28:12");
}

#[test]
fn a_mistake_names_its_line_and_column() {
    for (text, expected) in [
        ("colour: red\n", "p.yaml:1:1: "),
        ("rates:\n  read: 5/s\n  wirte: 5/s\n", "p.yaml:3:3: "),
        ("rates:\n  read: lots\n", "p.yaml:2:9: `lots` is no rate"),
        (
            "trusted_proxies:\n  - 10.0.0.0/8\n  - 10.0.0.0/99\n",
            "p.yaml:3:5: `10.0.0.0/99` is no address",
        ),
        ("disable: [speed]\n", "p.yaml:1:11: "),
        (
            "limits: {body: 4 bananas}\n",
            "p.yaml:1:16: `4 bananas` is no size",
        ),
        ("limits: {headers: 100}\n", "p.yaml:1:19: `100`: at least"),
        (
            "limits: {header_timeout: soon}\n",
            "p.yaml:1:26: `soon` is no time",
        ),
        ("routes:\n  - disable: [rate]\n", "p.yaml:2:5: "),
        (
            "routes:\n  - route: GET /a\n    cache: {tll: 5s}\n",
            "p.yaml:3:13: ",
        ),
        (
            "routes:\n  - route: GET /a\n    rate: lots\n",
            "p.yaml:3:11: `lots` is no rate",
        ),
        (
            "cors:\n  origins: [shop.example]\n",
            "p.yaml:2:13: `shop.example` is no origin",
        ),
        (
            "cors:\n  origins: ['*']\n  credentials: true\n",
            "p.yaml:2:3: `credentials` and origin",
        ),
        (
            "cors:\n  origins: [https://a.example]\n  headers: ['no header']\n",
            "p.yaml:3:13: `no header` is no header",
        ),
        ("rates: {read: 5/s\n", "p.yaml:"),
        ("rates: [\n", "p.yaml:"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with(expected), "{text}\n{error}\n{expected}");
    }
}
