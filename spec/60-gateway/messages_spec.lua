-- What a gateway's messages say: what was being done, with whom, and what helps.
local certificates = require "certificates"
local dns = require "dns"
local messages = require "messages"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"

local API = "https://console.zenlayer.com"
local TRUST = "; trusted is what the directive lua_ssl_trusted_certificate names, through "
    .. "lua_ssl_verify_depth certificates (1 by default)"
local box, names, front, nobody, silent, full

setup(function()
    box = sandbox.start { "--certificate-name", "console.zenlayer.com" }
    names = dns.start { ["silent.test"] = { "127.0.0.1" } }
    front = remote.start(box, { resolver = names.address .. " ipv6=off" })
    nobody, silent, full = server.start "closed", server.start "silent", server.start "full"
end)
teardown(function()
    full:stop()
    silent:stop()
    nobody:stop()
    front:stop()
    names:stop()
    box:stop()
end)
before_each(function()
    box:faults {}
end)

local function at(port)
    return "127.0.0.1:" .. port
end

-- One attempt of a client fails so. (Now and then nginx does not tell what is wrong with a
-- certificate: see tls_spec.lua.)
local function says(code, expected, options, gate)
    options.max_attempts = 1
    local client, err = (gate or front):client(options), nil
    for _ = 1, 20 do
        err = remote.failure({ code = code }, client:call "Echo")
        if not err.message:find("or is not trusted", 1, true) then
            break
        end
    end
    messages.check(expected, err.message)
    assert.is_nil(err.text:find("s3cret", 1, true))
end

describe("a gateway's message tells of", function()
    it("a name that is not resolved", function()
        says("RESOLVE_FAILED", "resolving nowhere.test:8443: nowhere.test could not be resolved*",
            { endpoint = "https://nowhere.test:8443" })
        says("RESOLVE_FAILED", "resolving nowhere.test:443 (connect_to), for " .. API .. ": *",
            { endpoint = API, connect_to = "nowhere.test" })
        says("PROXY_FAILED", "resolving the proxy nowhere.test:3128, for " .. API .. ": *",
            { endpoint = API, proxy = "http://user:s3cret@nowhere.test:3128" })
    end)

    it("a resolver that is missing", function()
        local plain = remote.start(box)
        local ok, message = pcall(says, "NOT_CONFIGURED", "resolving nowhere.test:443: no resolver "
            .. "defined*: nginx.conf needs the directive resolver",
            { endpoint = "https://nowhere.test" }, plain)
        plain:stop()
        assert(ok, message)
    end)

    it("a connection that is not made", function()
        says("CONNECT_FAILED", ("connecting to %s: connection refused"):format(at(nobody.port)),
            { endpoint = "https://" .. at(nobody.port) })
        says("CONNECT_FAILED", ("connecting to %s (connect_to), for %s: connection refused"):format(
            at(nobody.port), API), { endpoint = API, connect_to = at(nobody.port) })
        says("PROXY_FAILED", ("connecting to the proxy %s, for %s: connection refused"):format(
            at(nobody.port), box.endpoint), { proxy = "http://user:s3cret@" .. at(nobody.port) })
        says("CONNECT_TIMEOUT",
            ("connecting to %s: not done within 0.2 s (connect_timeout)"):format(at(full.port)),
            { endpoint = "https://" .. at(full.port), connect_timeout = 0.2 })
        says("CONNECT_TIMEOUT", ("connecting to %s: not done within 0.2 s"):format(at(full.port)),
            { endpoint = "https://" .. at(full.port), timeout = 0.2 })
    end)

    it("a name that is resolved too late", function()
        names:set { silent = true }
        local ok, message = pcall(says, "CONNECT_TIMEOUT",
            "resolving or connecting to late.test:443: not done within 0.3 s (connect_timeout)",
            { endpoint = "https://late.test", connect_timeout = 0.3 })
        names:set {}
        assert(ok, message)
    end)

    it("a proxy's CONNECT that fails", function()
        local function to(other, code, expected, options)
            options.proxy = "http://user:s3cret@" .. at(other.port)
            local ok, message = pcall(says, code, ("CONNECT by the proxy %s, for %s: %s"):format(
                at(other.port), options.endpoint or box.endpoint, expected), options)
            other:stop()
            assert(ok, message)
        end
        to(server.start("proxy", { refuse = "403 Forbidden" }), "PROXY_FAILED",
            "it answered HTTP 403", { endpoint = API, connect_to = at(box.port) })
        to(server.start("proxy", { user = "user", password = "another" }), "PROXY_FAILED",
            "it answered HTTP 407", {})
        to(server.start("proxy", { hang_up = true }), "PROXY_FAILED",
            "the connection broke: closed", {})
        to(server.start "silent", "CONNECT_TIMEOUT", "not done within 0.2 s (connect_timeout)",
            { connect_timeout = 0.2 })
    end)

    it("a TLS handshake that is not answered", function()
        says("CONNECT_TIMEOUT",
            ("TLS handshake with %s: not done within 0.2 s (connect_timeout)"):format(
            at(silent.port)), { endpoint = "https://" .. at(silent.port), connect_timeout = 0.2 })
        says("CONNECT_TIMEOUT",
            ("TLS handshake with silent.test:%d: not done within 0.5 s (connect_timeout)"):format(
            silent.port), { endpoint = "https://silent.test:" .. silent.port,
            connect_timeout = 0.5 })
        local proxy = server.start("proxy", { user = "user", password = "s3cret" })
        local ok, message = pcall(says, "CONNECT_TIMEOUT", ("TLS handshake with %s through the "
            .. "proxy %s: not done within 0.5 s (connect_timeout)"):format(at(silent.port),
            at(proxy.port)), {
            proxy = "http://user:s3cret@" .. at(proxy.port), connect_timeout = 0.5,
            endpoint = "https://" .. at(silent.port),
        })
        proxy:stop()
        assert(ok, message)
    end)

    it("a certificate that is not accepted", function()
        local directory = process.temporary_directory()
        certificates.make(directory)
        certificates.self_signed(directory, "self")
        certificates.self_signed(directory, "expired", "20200101000000Z", "20200201000000Z")
        local function path(name)
            return directory .. "/" .. name .. ".pem"
        end
        local rows = {
            { "server", "self", "2*: *" .. TRUST }, { "self", "ca", "18: *" .. TRUST },
            { "expired", "expired", "10: *, or this machine's clock is wrong" .. TRUST },
        }
        local ok, message = pcall(function()
            for _, row in ipairs(rows) do
                local other = server.start("scripted", {
                    cert = path(row[1]), key = path(row[1] .. "-key"),
                })
                local endpoint = "https://" .. at(other.port)
                local gate = remote.start(box, { ca_file = path(row[2]) })
                local fine, complaint = pcall(says, "TLS_VERIFY_FAILED",
                    ("TLS handshake with %s: %s"):format(at(other.port), row[3]),
                    { endpoint = endpoint }, gate)
                gate:stop()
                other:stop()
                assert(fine, complaint)
            end
        end)
        process.remove(directory)
        assert(ok, message)
    end)

    it("a certificate of another name", function()
        says("TLS_VERIFY_FAILED", ("TLS handshake with %s (connect_to), for https://other.example: "
            .. "certificate host mismatch; the name that was verified is the endpoint's, "
            .. "other.example, not that of connect_to"):format(at(box.port)),
            { endpoint = "https://other.example", connect_to = at(box.port) })
    end)

    it("a server without TLS", function()
        local other = server.start("scripted", { impatient = true })
        local gate = remote.start(box)
        local ok, message = pcall(says, "TLS_FAILED",
            ("TLS handshake with %s: handshake failed; nginx's error log says why"):format(
            at(other.port)), { endpoint = "https://" .. at(other.port) }, gate)
        other:stop()
        gate:stop { "SSL_do_handshake%(%) failed" }
        assert(ok, message)
    end)

    it("an answer that does not come", function()
        local function says_of(fault, code, expected, options)
            box:faults { fault }
            says(code, (expected:gsub("BOX", at(box.port))), options or {})
        end
        says_of({ fault = "stall", seconds = 60 }, "TIMEOUT",
            "waiting for the answer of BOX: nothing came within 0.3 s", { timeout = 0.3 })
        says_of({ fault = "stall", seconds = 60 }, "TIMEOUT", "waiting for the answer of BOX "
            .. "(connect_to), for " .. API .. ": nothing came within 0.5 s",
            { timeout = 0.5, endpoint = API, connect_to = at(box.port) })
        says_of({ fault = "slow", pause = 0.05 }, "TIMEOUT",
            "receiving from BOX: * bytes came within 0.5 s", { timeout = 0.5 })
        says_of({ fault = "close_before" }, "CONNECTION_LOST",
            "waiting for the answer of BOX: the connection broke: closed")
        says_of({ fault = "truncate", bytes = 150 }, "CONNECTION_LOST",
            "receiving from BOX: the connection broke: closed (150 bytes came)")
        says_of({ fault = "huge_header", bytes = 70000 }, "RESPONSE_TOO_LARGE",
            "receiving from BOX: a head over 64 KiB")
        says_of({ fault = "huge_body", bytes = 3000 }, "RESPONSE_TOO_LARGE",
            "receiving from BOX: a body over max_response_bytes", { max_response_bytes = 2000 })
    end)

    it("a request that is not taken", function()
        local err = remote.failure({ code = "TIMEOUT", outcome = "unknown" }, front:client {
            endpoint = "http://" .. at(silent.port), ca_file = false, timeout = 1, max_attempts = 1,
        }:run "return client:call('Echo', { text = ('x'):rep(20 * 1024 * 1024) })")
        messages.check(("sending to %s: not all was taken within 1 s"):format(at(silent.port)),
            err.message)
    end)
end)
