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
splits:
  - of: caravan.catalog.v1.CatalogService
    sticky: true
    upstreams:
      - {upstream: catalog, weight: 95}
      - {upstream: catalog-canary, weight: 5, when: {X-Canary: 1}}
prefixes:
  - prefix: /shop/
    upstream: old-shop
    access: [public]
    rate: heavy
    body: 1MiB
    deadline: 5s
    http2: true
    keep_host: true
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
    let [split] = &settings.splits[..] else {
        panic!("{:?}", settings.splits);
    };
    assert!(split.is_sticky && split.place == "p.yaml:32:9");
    let shares = split.shares.iter();
    let shares: Vec<_> = shares.map(|share| (share.weight, &*share.place)).collect();
    assert_eq!(shares, [(95, "p.yaml:35:20"), (5, "p.yaml:36:20")]);
    let (name, value) = &split.shares[1].when[0];
    assert!(name == "x-canary" && value == "1");
    let [shop] = &settings.prefixes[..] else {
        panic!("{:?}", settings.prefixes);
    };
    assert!(shop.prefix == "/shop" && shop.access.public);
    assert!(shop.is_http2 && shop.keeps_host && shop.deadline == Duration::from_secs(5));
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
        ("splits:\n  - of: a.B\n", "p.yaml:2:5: "),
        (
            "splits:\n  - of: a.B\n    upstreams: []\n",
            "p.yaml:3:16: the weights add up to 0",
        ),
        (
            "splits:\n  - of: a.B\n    upstreams:\n      - {upstream: c, weight: 0}\n",
            "p.yaml:4:7: the weights add up to 0",
        ),
        (
            "splits:\n  - of: a.B\n    upstreams:\n      - {upstream: c, weight: -1}\n",
            "p.yaml:4:31: `-1` is no weight",
        ),
        (
            "splits:\n  - of: a.B\n    upstreams:\n      - upstream: c\n",
            "p.yaml:4:19: a `weight`, a `when` or both",
        ),
        (
            "splits:\n  - of: a.B\n    upstreams:\n      - upstream: c\n        when: {}\n",
            "p.yaml:5:15: `when` names no header",
        ),
        (
            "splits:\n  - of: a.B\n    upstreams:\n      - upstream: c\n        when: {no header: 1}\n",
            "p.yaml:5:27: `no header` is no header",
        ),
        (
            "splits:\n  - of: a.B\n    upstreams: [{upstream: c, weight: 1}, {upstream: c, weight: 2}]\n",
            "p.yaml:3:54: `c` stands here twice",
        ),
        (
            "splits:\n  - of: a.B\n    upstreams: [{upstream: c, weight: 1}]\n  - of: /a.B\n    upstreams: [{upstream: c, weight: 1}]\n",
            "p.yaml:4:9: `a.B` is split at p.yaml:2:9 already",
        ),
        (
            "prefixes:\n  - {prefix: /a, upstream: b}\n",
            "p.yaml:2:18: missing field `access`",
        ),
        (
            "prefixes:\n  - {prefix: a, upstream: b, access: [public]}\n",
            "p.yaml:2:14: `a` is no prefix",
        ),
        (
            "prefixes:\n  - {prefix: /a/../b, upstream: b, access: [public]}\n",
            "p.yaml:2:14: `/a/../b` is no prefix",
        ),
        (
            "prefixes:\n  - {prefix: /a?b, upstream: b, access: [public]}\n",
            "p.yaml:2:14: `/a?b` is no prefix",
        ),
        (
            "prefixes:\n  - {prefix: /a, upstream: b, access: [public]}\n  - {prefix: /a/, upstream: c, access: [public]}\n",
            "p.yaml:3:14: the prefix `/a` stands here twice",
        ),
        (
            "prefixes:\n  - {prefix: /a, upstream: b, access: [public], deadline: 0s}\n",
            "p.yaml:2:59: `0s` is no time",
        ),
        ("rates: {read: 5/s\n", "p.yaml:"),
        ("rates: [\n", "p.yaml:"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with(expected), "{text}\n{error}\n{expected}");
    }
}
