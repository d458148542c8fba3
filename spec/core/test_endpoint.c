/* Where requests may go: https anywhere, http to this machine alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "endpoint.h"
#include "support.h"

static void accept(zl_view url, const char *base, const char *host, bool tls) {
    zl_endpoint e;
    const char *problem = zl_endpoint_parse(&e, url);
    if (problem != NULL) {
        fail_with("%.*s %s", (int)url.len, url.data, problem);
    }
    assert_buf(e.base, base);
    assert_buf(e.host, host);
    assert_int_equal(e.tls, tls);
    zl_endpoint_free(&e);
    assert_null(e.base.data);
}

static void refuse(zl_view url) {
    zl_endpoint e;
    memset(&e, 0x55, sizeof e);
    if (zl_endpoint_parse(&e, url) == NULL) {
        fail_with("\"%.*s\" is accepted as %s", (int)url.len, url.data, e.base.data);
    }
    assert_true(e.base.data == NULL && e.base.len == 0 && e.host.data == NULL && e.host.len == 0);
    zl_endpoint_free(&e);
}

static void test_accepted(void **state) {
    (void)state;
    static const struct {
        const char *url, *base, *host;
        bool tls;
    } rows[] = {
        {ZL_ENDPOINT_DEFAULT, "https://console.zenlayer.com", "console.zenlayer.com", true},
        {"https://api.example/", "https://api.example", "api.example", true},
        {"HTTPS://api.example", "https://api.example", "api.example", true},
        {"https://api.example:443", "https://api.example", "api.example", true},
        {"https://api.example:443/", "https://api.example", "api.example", true},
        {"https://api.example:8443", "https://api.example:8443", "api.example:8443", true},
        {"https://api.example:80", "https://api.example:80", "api.example:80", true},
        {"https://api.example:1", "https://api.example:1", "api.example:1", true},
        {"https://api.example:65535", "https://api.example:65535", "api.example:65535", true},
        {"https://192.0.2.7:9", "https://192.0.2.7:9", "192.0.2.7:9", true},
        {"https://[2001:db8::1]", "https://[2001:db8::1]", "[2001:db8::1]", true},
        {"https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443", "[2001:db8::1]:8443", true},
        {"https://[::ffff:192.0.2.7]:443", "https://[::ffff:192.0.2.7]", "[::ffff:192.0.2.7]",
         true},
        {"http://127.0.0.1", "http://127.0.0.1", "127.0.0.1", false},
        {"http://127.0.0.1:80", "http://127.0.0.1", "127.0.0.1", false},
        {"http://127.0.0.1:443", "http://127.0.0.1:443", "127.0.0.1:443", false},
        {"http://127.0.0.1:40443/", "http://127.0.0.1:40443", "127.0.0.1:40443", false},
        {"http://127.1.2.3:8", "http://127.1.2.3:8", "127.1.2.3:8", false},
        {"http://127.255.255.255", "http://127.255.255.255", "127.255.255.255", false},
        {"http://localhost:8080", "http://localhost:8080", "localhost:8080", false},
        {"http://LocalHost", "http://LocalHost", "LocalHost", false},
        {"http://[::1]:8080", "http://[::1]:8080", "[::1]:8080", false},
        {"Http://[::1]/", "http://[::1]", "[::1]", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        accept(zl_view_of(rows[i].url), rows[i].base, rows[i].host, rows[i].tls);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const char *const urls[] = {
        "",
        "https",
        "https:",
        "https:/",
        "https://",
        "https:///",
        "https:// api.example",
        "api.example",
        "//api.example",
        "ftp://api.example",
        "file:///etc/passwd",
        " https://api.example",
        "https://api.example ",
        "https:\\\\api.example",
        "https://user@api.example",
        "https://user:password@api.example",
        "https://@api.example",
        "https://api.example@evil.example",
        "https://api.example:443@evil.example",
        "https://api.example/path",
        "https://api.example//",
        "https://api.example/?a=b",
        "https://api.example?a=b",
        "https://api.example#f",
        "https://api.example\\@evil.example",
        "https://api.example%2eevil",
        "https://api.example:",
        "https://api.example:/",
        "https://api.example:0",
        "https://api.example:00000",
        "https://api.example:65536",
        "https://api.example:99999",
        "https://api.example:100000",
        "https://api.example:18446744073709551617",
        "https://api.example:-1",
        "https://api.example:+1",
        "https://api.example: 1",
        "https://api.example:8a",
        "https://api.example:80:80",
        "https://:443",
        "https://[",
        "https://[]",
        "https://[::1",
        "https://::1",
        "https://2001:db8::1",
        "https://[::1]x",
        "https://[::1]:",
        "https://[::1]:0",
        "https://[::1]:65536",
        "https://[::1%25eth0]",
        "https://[api.example]",
        "https://[::1]@evil.example",
        "https://b\xC3\xBCrich.example",
    };
    for (size_t i = 0; i < COUNT(urls); i++) {
        refuse(zl_view_of(urls[i]));
    }
    refuse((zl_view){NULL, 0});
    refuse(ZL_LIT("https://api.example\0.evil"));
    refuse(ZL_LIT("https://api.example\r\nX-Evil: 1"));
    refuse(ZL_LIT("https://api.example\n"));
}

/* Names and addresses that only look like this machine. */
static void test_http_beyond_this_machine(void **state) {
    (void)state;
    static const char *const urls[] = {
        "http://api.example",
        "http://console.zenlayer.com",
        "http://127.evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.evil",
        "http://127.0.0.1evil.example",
        "http://localhost.evil.example",
        "http://evil-localhost",
        "http://localhost_",
        "http://xlocalhost",
        "http://127.0.0.1@evil.example",
        "http://localhost:80@evil.example",
        "http://localhost\\.evil.example",
        "http://128.0.0.1",
        "http://12.7.0.1",
        "http://1270.0.0.1",
        "http://0127.0.0.1",
        "http://126.255.255.255",
        "http://10.0.0.1",
        "http://192.168.0.1",
        "http://169.254.169.254", /* a cloud's metadata service */
        "http://127",
        "http://127.",
        "http://127.0.0.",
        "http://127.0.0.1.2",
        "http://127.0.0.08", /* no octal number, so a name */
        "http://127.0.0.01",
        "http://127.0.00.1",
        "http://127.0.0.1000",
        "http://[::]",
        "http://[::2]",
        "http://[::1:1]",
        "http://[fe80::1]",
        "http://[::ffff:192.0.2.7]",
        "http://[2001:db8::1]",
        "http://",
        "http:///",
    };
    for (size_t i = 0; i < COUNT(urls); i++) {
        refuse(zl_view_of(urls[i]));
    }
}

/* Four groups of digits that are no address: a resolver takes them for a name. */
static void test_http_to_what_is_no_address(void **state) {
    (void)state;
    refuse(ZL_LIT("http://127.0.0.256"));
    refuse(ZL_LIT("http://127.999.999.999"));
    refuse(ZL_LIT("http://127.0..1"));
    refuse(ZL_LIT("http://127...1"));
}

static void test_length_of_a_host(void **state) {
    (void)state;
    zl_buf url = {0};
    zl_endpoint e;
    zl_buf_add_text(&url, "https://");
    while (url.len < 8 + 253) { /* as long as a name can be */
        zl_buf_add_char(&url, 'h');
    }
    assert_null(zl_endpoint_parse(&e, zl_buf_view(&url)));
    assert_int_equal(e.host.len, 253);
    zl_endpoint_free(&e);
    while (url.len < 8 + 300) {
        zl_buf_add_char(&url, 'h');
    }
    refuse(zl_buf_view(&url));
    zl_buf_free(&url);
}

static void test_addresses_to_dial(void **state) {
    (void)state;
    static const struct {
        const char *address;
        bool loopback;
    } good[] = {
        {"127.0.0.1:8443", true},
        {"127.0.0.1", true},
        {"localhost:1", true},
        {"[::1]:443", true},
        {"[::1]", true},
        {"10.1.2.3:8443", false},
        {"api.example", false},
        {"api.example:443", false},
        {"[2001:db8::1]:65535", false},
        {"127.evil.example", false},
        {"127.0.0.08", false},
        {"127.10.0.100", true},
        {"localhost.evil", false},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        bool loopback = !good[i].loopback;
        assert_null(zl_endpoint_check_address(zl_view_of(good[i].address), &loopback));
        assert_int_equal(loopback, good[i].loopback);
    }
    static const char *const bad[] = {
        "",
        ":443",
        "api.example:",
        "api.example:0",
        "api.example:65536",
        "a b",
        "a/b",
        "https://a.example",
        "user@host",
        "[::1",
        "[::1]:",
        "::1",
        "a:1:2",
        "a\r\nb",
        "host:80/",
        "host:port",
        "host:0x50",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        bool loopback = false;
        if (zl_endpoint_check_address(zl_view_of(bad[i]), &loopback) == NULL) {
            fail_with("\"%s\" is accepted", bad[i]);
        }
    }
    bool loopback;
    assert_non_null(zl_endpoint_check_address((zl_view){NULL, 0}, &loopback));
}

/* What is accepted stands in a header and a URL: nothing in it may end either. */
static void test_random_urls(void **state) {
    (void)state;
    rng r = {1};
    for (size_t i = 0; i < repetitions(300000); i++) {
        static const char likely[] = "ab1.:/@[]?#-_% 0127\r\n\\localhost";
        char url[40] = "http://";
        size_t len = rng_chance(&r, 0.5) ? 7 : 8;
        memcpy(url, len == 7 ? "http://" : "https://", len);
        for (size_t more = rng_below(&r, 20); more > 0; more--) {
            bool any = rng_chance(&r, 0.05);
            url[len++] = any ? (char)rng_below(&r, 256) : likely[rng_below(&r, sizeof likely - 1)];
        }
        zl_endpoint e;
        if (zl_endpoint_parse(&e, (zl_view){url, len}) == NULL) {
            assert_true(e.host.len > 0);
            for (size_t k = 0; k < e.host.len; k++) {
                char c = e.host.data[k];
                assert_true(c > ' ' && c < 0x7F && strchr("/@?#%\\\"", c) == NULL);
            }
            /* It reads back as itself. */
            zl_endpoint again;
            assert_null(zl_endpoint_parse(&again, zl_buf_view(&e.base)));
            assert_true(zl_view_equal(zl_buf_view(&again.host), zl_buf_view(&e.host)));
            zl_endpoint_free(&again);
        }
        zl_endpoint_free(&e);
    }
}

/* --- what messages call a place --------------------------------------------------------------- */

static void expect_place(const char *endpoint, const char *authority, const char *place) {
    zl_endpoint e;
    zl_buf out = {0};
    assert_null(zl_endpoint_parse(&e, zl_view_of(endpoint)));
    zl_endpoint_add_place(&out, &e,
                          authority == NULL ? zl_buf_view(&e.host) : zl_view_of(authority));
    assert_buf(out, place);
    zl_buf_free(&out);
    zl_endpoint_free(&e);
}

static void test_places(void **state) {
    (void)state;
    expect_place("https://api.example", NULL, "api.example:443");
    expect_place("https://api.example:8443/", NULL, "api.example:8443");
    expect_place("http://127.0.0.1", NULL, "127.0.0.1:80");
    expect_place("https://[::1]:1", NULL, "[::1]:1");
    expect_place("https://[::1]", NULL, "[::1]:443");
    expect_place("https://api.example", "10.0.0.1", "10.0.0.1:443");
    expect_place("https://api.example:8443", "10.0.0.1", "10.0.0.1:8443");
    expect_place("https://api.example:8443", "10.0.0.1:9", "10.0.0.1:9");
    expect_place("http://localhost", "[::1]", "[::1]:80");
}

static void test_places_of_proxies(void **state) {
    (void)state;
    static const struct {
        const char *url, *place;
        zl_proxy_kind kind;
    } rows[] = {
        {"http://proxy.example:3128", "proxy.example:3128", ZL_PROXY_HTTP},
        {"proxy.example:3128", "proxy.example:3128", ZL_PROXY_HTTP},
        {"proxy.example", "proxy.example:1080", ZL_PROXY_HTTP},
        {"HTTPS://proxy.example", "proxy.example:443", ZL_PROXY_HTTPS},
        {"socks5h://[::1]:9/", "[::1]:9", ZL_PROXY_OTHER},
        {"http://user:s3cret@proxy.example:1/x?y#z", "proxy.example:1", ZL_PROXY_HTTP},
        {"user:s3cret@proxy.example", "proxy.example:1080", ZL_PROXY_HTTP},
        {"http://user:s3@cret@proxy.example:1", "proxy.example:1", ZL_PROXY_HTTP},
        {"http://user:s3cret%2Fx@proxy.example:1", "proxy.example:1", ZL_PROXY_HTTP},
        /* Where a user or a password may have got into the host's place, nothing is shown. */
        {"http://user:s3cret/x@proxy.example:1", "", ZL_PROXY_HTTP},
        {"http://user:s3cret#x@proxy.example:1", "", ZL_PROXY_HTTP},
        {"http://user:s3cret?x@proxy.example:1", "", ZL_PROXY_HTTP},
        {"http://12345/x@proxy.example:1", "", ZL_PROXY_HTTP},
        {"user:s3cret", "", ZL_PROXY_HTTP},
        {"user:s3cret@", "", ZL_PROXY_HTTP},
        {"http://user:s3cret@", "", ZL_PROXY_HTTP},
        {"http://user:s3cret@ho st:1", "", ZL_PROXY_HTTP},
        {"http://user:s3cret@proxy.example:70000", "", ZL_PROXY_HTTP},
        {"http://user:s3cret@proxy.example:port", "", ZL_PROXY_HTTP},
        {"http://user:s3cret@[::1", "", ZL_PROXY_HTTP},
        {"user:s3cret://proxy.example:1", "", ZL_PROXY_HTTP},
        {"://user:s3cret@proxy.example:1", "proxy.example:1", ZL_PROXY_OTHER},
        {"", "", ZL_PROXY_HTTP},
        {"://", "", ZL_PROXY_OTHER},
        {":/", "", ZL_PROXY_HTTP},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_buf out = {0};
        zl_proxy_kind kind = zl_endpoint_add_proxy(&out, zl_view_of(rows[i].url));
        if (kind != rows[i].kind || !zl_view_equal(zl_buf_view(&out), zl_view_of(rows[i].place))) {
            fail_with("%s: kind %d, \"%s\"", rows[i].url, (int)kind, out.len > 0 ? out.data : "");
        }
        zl_buf_free(&out);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (size_t k = 1; k <= 2; k++) {
        zl_endpoint e;
        size_t live = alloc_live();
        alloc_fail_at(k, false);
        const char *problem = zl_endpoint_parse(&e, ZL_LIT("https://api.example"));
        alloc_fail_at(0, false);
        assert_true(problem != NULL || !zl_buf_ok(&e.base) || !zl_buf_ok(&e.host));
        zl_endpoint_free(&e);
        assert_int_equal(alloc_live(), live);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_http_beyond_this_machine),
        cmocka_unit_test(test_http_to_what_is_no_address),
        cmocka_unit_test(test_length_of_a_host),
        cmocka_unit_test(test_addresses_to_dial),
        cmocka_unit_test(test_random_urls),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_places_of_proxies),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
