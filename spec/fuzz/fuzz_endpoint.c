/* Endpoints: a regular expression says what is one; what comes of it is an endpoint, too.
 *
 * Input: a URL, or an address to dial. */
#include <arpa/inet.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "fuzz.h"

#define HOST "(\\[[0-9a-fA-F:.]+\\]|[0-9A-Za-z_.-]+)"
#define PORT "(:([0-9]{1,5}))?"

enum { SCHEME_PLACE = 1, HOST_PLACE = 2, PORT_PLACE = 4, PLACES, TEXT_MAX = 1000 };

static regex_t url_form, address_form;

static void compile(void) {
    static bool is_compiled;
    if (!is_compiled) {
        CHECK(regcomp(&url_form, "^([hH][tT][tT][pP][sS]?)://" HOST PORT "/?$", REG_EXTENDED) == 0);
        CHECK(regcomp(&address_form, "^()" HOST PORT "$", REG_EXTENDED) == 0);
        is_compiled = true;
    }
}

static size_t length_of(const regmatch_t *place) {
    return (size_t)(place->rm_eo - place->rm_so);
}

/* Whether libc takes the text for this machine's own address, or it is its name. */
static bool is_loopback(const char *host, size_t len) {
    char text[TEXT_MAX];
    struct in_addr address;
    memcpy(text, host, len);
    text[len] = '\0';
    return zl_view_equal_nocase((zl_view){host, len}, ZL_LIT("localhost")) ||
           strcmp(text, "[::1]") == 0 ||
           (inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

/* Whether text has that form, with a host and a port within their bounds. */
static bool has_form(const regex_t *form, const char *text, regmatch_t *places) {
    if (regexec(form, text, PLACES, places, 0) != 0 || length_of(&places[HOST_PLACE]) > 255) {
        return false;
    }
    bool has_port = places[PORT_PLACE].rm_so >= 0;
    long port = has_port ? strtol(text + places[PORT_PLACE].rm_so, NULL, 10) : 1;
    return port >= 1 && port <= 65535;
}

/* What was made of a URL: it is written as a browser would write it, and is what it says. */
static void check_endpoint(const zl_endpoint *made, zl_view host) {
    zl_endpoint again;
    zl_view base = zl_buf_view(&made->base);
    CHECK(zl_buf_ok(&made->base) && zl_buf_ok(&made->host));
    CHECK(zl_header_safe(zl_buf_view(&made->host)));
    CHECK(zl_view_starts_with(zl_buf_view(&made->host), host));
    CHECK(zl_view_starts_with(base, made->tls ? ZL_LIT("https://") : ZL_LIT("http://")));
    CHECK(strcmp(strstr(made->base.data, "://") + 3, made->host.data) == 0);
    CHECK(zl_endpoint_parse(&again, base) == NULL && again.tls == made->tls);
    CHECK(zl_view_equal(zl_buf_view(&again.base), base));
    CHECK(zl_view_equal(zl_buf_view(&again.host), zl_buf_view(&made->host)));
    zl_endpoint_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[TEXT_MAX];
    regmatch_t at[PLACES];
    zl_endpoint endpoint;
    zl_view given = {(const char *)data, size};
    if (size >= sizeof text) {
        return 0;
    }
    compile();
    memcpy(text, data, size);
    text[size] = '\0';
    char *own = own_bytes(given);
    bool whole = strlen(text) == size; /* for a regular expression it ends at a NUL */
    const char *problem = zl_endpoint_parse(&endpoint, (zl_view){own, size});
    bool expected = whole && has_form(&url_form, text, at);
    if (expected) {
        const char *host = text + at[HOST_PLACE].rm_so;
        size_t len = length_of(&at[HOST_PLACE]);
        bool tls = length_of(&at[SCHEME_PLACE]) == strlen("https");
        expected = tls || is_loopback(host, len);
        CHECK((problem == NULL) == expected);
        if (problem == NULL) {
            CHECK(endpoint.tls == tls);
            check_endpoint(&endpoint, (zl_view){host, len});
        }
    }
    CHECK((problem == NULL) == expected);
    CHECK(problem == NULL || (endpoint.base.data == NULL && endpoint.host.data == NULL));
    zl_endpoint_free(&endpoint);

    bool loopback = false;
    problem = zl_endpoint_check_address((zl_view){own, size}, &loopback);
    expected = whole && has_form(&address_form, text, at);
    CHECK((problem == NULL) == expected);
    if (expected) {
        CHECK(!loopback || is_loopback(text + at[HOST_PLACE].rm_so, length_of(&at[HOST_PLACE])));
    }
    free(own);
    return 0;
}
