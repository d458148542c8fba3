-- What a message says of an exchange that failed: what was being done, with whom, and what helps.
local certificates = require "certificates"
local cjson = require "cjson"
local closing = require "every_lua".closing
local expect = require "expect"
local messages = require "messages"
local process = require "process"
local safe = require "zenlayer.safe"
local sandbox = require "sandbox"
local server = require "server"

local API = "https://console.zenlayer.com"
local box, nobody, silent, full

setup(function()
    box = sandbox.start { "--certificate-name", "console.zenlayer.com" }
    nobody, silent, full = server.start "closed", server.start "silent", server.start "full"
end)
teardown(function()
    full:stop()
    silent:stop()
    nobody:stop()
    box:stop()
end)
before_each(function()
    box:faults {}
end)

local function at(port)
    return "127.0.0.1:" .. port
end

-- One attempt, as a call and as connect(), fails so.
local function says(code, expected, options)
    options.max_attempts = 1
    local client = closing(box:client(options))
    local err = expect.failure({ code = code, outcome = "not_sent" }, client:call "Echo")
    messages.check(expected, err.message)
    assert.is_truthy(tostring(err):find(err.message, 1, true))
    if not options.deadline then
        err = expect.failure({ code = code, outcome = "not_sent" }, client:connect())
        messages.check(expected, err.message)
    end
end

describe("a name that is not resolved:", function()
    it("the name", function()
        says("RESOLVE_FAILED", "resolving something.invalid:8443: *",
            { endpoint = "https://something.invalid:8443" })
        says("RESOLVE_FAILED", "resolving something.invalid:443: *",
            { endpoint = "https://something.invalid" })
    end)

    it("that of connect_to", function()
        says("RESOLVE_FAILED", "resolving something.invalid:443 (connect_to), for " .. API .. ": *",
            { endpoint = API, connect_to = "something.invalid" })
    end)

    it("that of a proxy, without its password", function()
        says("PROXY_FAILED", "resolving the proxy something.invalid:3128, for " .. API .. ": *",
            { endpoint = API, proxy = "http://user:s3cret@something.invalid:3128" })
    end)
end)

describe("a connection that is not made:", function()
    it("the address", function()
        says("CONNECT_FAILED", ("connecting to %s: connection refused"):format(at(nobody.port)),
            { endpoint = "https://" .. at(nobody.port) })
        says("CONNECT_FAILED", ("connecting to localhost:%d: connection refused"):format(
            nobody.port), { endpoint = "https://localhost:" .. nobody.port })
        says("CONNECT_TIMEOUT",
            ("connecting to %s: not done within 200 ms (connect_timeout)"):format(at(full.port)),
            { endpoint = "https://" .. at(full.port), connect_timeout = 0.2 })
    end)

    it("that of connect_to", function()
        says("CONNECT_FAILED", ("connecting to %s (connect_to), for %s: connection refused"):format(
            at(nobody.port), API), { endpoint = API, connect_to = at(nobody.port) })
        says("CONNECT_FAILED", "connecting to 127.0.0.1:1 (connect_to), for " .. API
            .. ":1: connection refused", { endpoint = API .. ":1", connect_to = "127.0.0.1" })
    end)

    it("that of a proxy, without its password", function()
        for _, scheme in ipairs { "http", "https", "socks4", "socks5h" } do
            says("PROXY_FAILED", ("connecting to the proxy %s, for %s: connection refused"):format(
                at(nobody.port), box.endpoint),
                { proxy = ("%s://user:s3cret@%s"):format(scheme, at(nobody.port)) })
        end
        says("CONNECT_TIMEOUT", ("connecting to the proxy %s, for %s: not done within 200 ms "
            .. "(connect_timeout)"):format(at(full.port), box.endpoint),
            { proxy = "http://user:s3cret@" .. at(full.port), connect_timeout = 0.2 })
    end)

    it("within which time", function()
        local address = { endpoint = "https://" .. at(full.port), connect_timeout = 60 }
        address.timeout = 0.2
        local client = closing(box:client(address))
        local err = expect.failure({ code = "CONNECT_TIMEOUT" },
            client:call("Echo", nil, { max_attempts = 1 }))
        messages.check("connecting to *: not done within 200 ms", err.message)
        err = expect.failure({ code = "DEADLINE_EXCEEDED" },
            client:call("Echo", nil, { timeout = 2, deadline = 0.2 }))
        messages.check("connecting to *: not done within * ms", err.message)
    end)
end)

describe("a proxy's CONNECT that fails:", function()
    local function to(other, code, expected, options)
        local ok, message = pcall(function()
            options = options or {}
            options.proxy = "http://user:s3cret@" .. at(other.port)
            says(code, ("CONNECT by the proxy %s, for %s: %s"):format(at(other.port),
                options.endpoint or box.endpoint, expected), options)
        end)
        other:stop()
        assert(ok, message)
    end

    it("what it answered", function()
        to(server.start("proxy", { refuse = "403 Forbidden" }), "PROXY_FAILED", "*403*")
        to(server.start("proxy", { user = "user", password = "another" }), "PROXY_FAILED", "*407*")
        to(server.start("proxy", { refuse = "502 Bad Gateway" }), "PROXY_FAILED", "*502*",
            { endpoint = API, connect_to = at(box.port) })
    end)

    it("that it hung up, or took too long", function()
        to(server.start("proxy", { hang_up = true }), "PROXY_FAILED", "*")
        to(server.start "silent", "CONNECT_TIMEOUT", "not done within 200 ms (connect_timeout)",
            { connect_timeout = 0.2 })
    end)

    it("as far as can be seen, where the proxy is of another kind", function()
        for _, scheme in ipairs { "https", "socks4", "socks5", "socks5h" } do
            says("CONNECT_TIMEOUT", ("connecting through the proxy %s, for %s: not done within "
                .. "200 ms (connect_timeout)"):format(at(silent.port), box.endpoint),
                { proxy = scheme .. "://user:s3cret@" .. at(silent.port), connect_timeout = 0.2 })
        end
        local other = server.start("scripted", { impatient = true })
        local ok, message = pcall(says, "PROXY_FAILED",
            ("connecting through the proxy %s, for %s: *"):format(at(other.port), box.endpoint),
            { proxy = "socks5://user:s3cret@" .. at(other.port) })
        other:stop()
        assert(ok, message)
    end)

    it("not, where libcurl alone knows whether it was asked", function()
        local output, status = process.run_lua([[
            local client = require "zenlayer.safe".new(require "cjson".decode(arg[1]))
            print((select(2, client:call "Echo").message))
            client:close()
        ]], {
            https_proxy = "http://user:s3cret@" .. at(nobody.port), no_proxy = "example.com",
            HTTPS_PROXY = false, all_proxy = false, ALL_PROXY = false, NO_PROXY = false,
        }, cjson.encode {
            access_key_id = "a", access_key_password = "b", endpoint = API, max_attempts = 1,
        })
        assert.equal(0, status, output)
        messages.check("connecting to console.zenlayer.com:443 or the proxy " .. at(nobody.port)
            .. ": connection refused", (output:gsub("\n$", "")))
    end)
end)

describe("a TLS handshake that fails:", function()
    local directory
    local SYSTEM = "/*, the system's; ca_file or ca_path names others"

    setup(function()
        directory = process.temporary_directory()
        certificates.make(directory)
        certificates.self_signed(directory, "self")
        certificates.self_signed(directory, "expired", "20200101000000Z", "20200201000000Z")
        certificates.self_signed(directory, "future", "20900101000000Z", "20910101000000Z")
        process.write(directory .. "/nonsense.pem", "this is no certificate\n")
        process.write(directory .. "/empty.pem", "")
        process.check { "mkdir", directory .. "/folder" }
    end)
    teardown(function()
        process.remove(directory)
    end)

    local function path(name)
        return directory .. "/" .. name
    end

    -- A server with this certificate, while that file is trusted.
    local function with(certificate, trusted, code, expected, versions)
        local other = server.start("scripted", {
            cert = path(certificate .. ".pem"), key = path(certificate .. "-key.pem"),
            minimum = versions and versions[1], maximum = versions and versions[2],
        })
        local ok, message = pcall(says, code,
            ("TLS handshake with %s: %s"):format(at(other.port), expected),
            { endpoint = "https://" .. at(other.port), ca_file = path(trusted) })
        other:stop()
        assert(ok, message)
    end

    local function trusting(options, expected)
        local ca_file = options.ca_file
        options.ca_file = ca_file or false
        says("TLS_VERIFY_FAILED", ("TLS handshake with %s: %s"):format(at(box.port), expected),
            options)
    end

    it("nobody who is trusted signed the certificate", function()
        local unknown = "SSL certificate problem: *; trusted are the certificates in "
        trusting({}, unknown .. SYSTEM)
        trusting({ ca_file = path "self.pem" }, unknown .. path "self.pem" .. " (ca_file)")
        trusting({ ca_path = path "folder" }, unknown .. path "folder" .. " (ca_path)")
        trusting({ ca_file = path "self.pem", ca_path = path "folder" },
            unknown .. path "self.pem" .. " and " .. path "folder" .. " (ca_file, ca_path)")
    end)

    it("it signed itself", function()
        with("self", "ca.pem", "TLS_VERIFY_FAILED", "SSL certificate problem: *self*signed*; "
            .. "trusted are the certificates in " .. path "ca.pem" .. " (ca_file)")
    end)

    it("its time is over, or yet to come", function()
        with("expired", "expired.pem", "TLS_VERIFY_FAILED", "SSL certificate problem: *expired, or "
            .. "this machine's clock is wrong; trusted are the certificates in "
            .. path "expired.pem" .. " (ca_file)")
        with("future", "future.pem", "TLS_VERIFY_FAILED", "SSL certificate problem: *not yet "
            .. "valid, or this machine's clock is wrong; trusted are *")
    end)

    it("it is of another name", function()
        local name = "*; the name that was verified is the endpoint's, "
        says("TLS_VERIFY_FAILED", ("TLS handshake with %s (connect_to), for https://other.example:9"
            .. ": %sother.example, not that of connect_to"):format(at(box.port), name),
            { endpoint = "https://other.example:9", connect_to = at(box.port) })
        local proxy = server.start("proxy", { to = box.port })
        local ok, message = pcall(says, "TLS_VERIFY_FAILED", ("TLS handshake with other.example:443"
            .. " through the proxy %s: %sother.example"):format(at(proxy.port), name),
            { endpoint = "https://other.example", proxy = "http://" .. at(proxy.port) })
        proxy:stop()
        assert(ok, message)
    end)

    it("the certificates to trust cannot be loaded", function()
        local problem = "cannot load the certificates to trust, from "
        for _, name in ipairs { "nonsense.pem", "empty.pem" } do
            trusting({ ca_file = path(name) }, problem .. path(name) .. " (ca_file)")
        end
        trusting({ ca_file = path "empty.pem", ca_path = path "folder" },
            problem .. path "empty.pem" .. " and " .. path "folder" .. " (ca_file, ca_path)")
        process.write(path "gone.pem", process.read(box.ca_file))
        local client = closing(box:client { ca_file = path "gone.pem" })
        assert(os.remove(path "gone.pem"))
        local err = expect.failure({ code = "TLS_VERIFY_FAILED" }, client:call "Echo")
        messages.check("TLS handshake with *: " .. problem .. path "gone.pem" .. " (ca_file)",
            err.message)
    end)

    it("the server knows too old a TLS, or none", function()
        with("server", "ca.pem", "TLS_FAILED", "*; TLS 1.2 or newer is needed",
            { "TLSv1", "TLSv1_1" })
        local other = server.start("scripted", { impatient = true })
        local ok, message = pcall(says, "TLS_FAILED",
            ("TLS handshake with %s: *; that port may speak no TLS"):format(at(other.port)),
            { endpoint = "https://" .. at(other.port) })
        other:stop()
        assert(ok, message)
    end)

    it("it is not answered", function()
        says("CONNECT_TIMEOUT",
            ("TLS handshake with %s: not done within 200 ms (connect_timeout)"):format(
            at(silent.port)), { endpoint = "https://" .. at(silent.port), connect_timeout = 0.2 })
        says("CONNECT_TIMEOUT", ("TLS handshake with %s (connect_to), for %s: not done within "
            .. "200 ms (connect_timeout)"):format(at(silent.port), API),
            { endpoint = API, connect_to = at(silent.port), connect_timeout = 0.2 })
    end)

    it("that is through a proxy, or with one", function()
        local proxy = server.start("proxy", { user = "user", password = "s3cret" })
        local secure = server.start("scripted", {
            cert = path "server.pem", key = path "server-key.pem",
        })
        local url = "http://user:s3cret@" .. at(proxy.port)
        local ok, message = pcall(function()
            says("TLS_VERIFY_FAILED", ("TLS handshake with %s through the proxy %s: *; trusted are "
                .. "the certificates in %s"):format(at(box.port), at(proxy.port), SYSTEM),
                { proxy = url, ca_file = false })
            says("CONNECT_TIMEOUT", ("TLS handshake with %s through the proxy %s: not done within "
                .. "500 ms (connect_timeout)"):format(at(silent.port), at(proxy.port)),
                { proxy = url, endpoint = "https://" .. at(silent.port), connect_timeout = 0.5 })
            says("TLS_VERIFY_FAILED", ("TLS handshake with the proxy %s, for %s: *; of a proxy the "
                .. "system's certificates are trusted"):format(at(secure.port), box.endpoint),
                { proxy = "https://user:s3cret@" .. at(secure.port) })
        end)
        secure:stop()
        proxy:stop()
        assert(ok, message)
    end)
end)

describe("an answer that does not come:", function()
    local function says_of(fault, code, expected, options)
        options = options or {}
        options.max_attempts = 1
        box:faults { fault }
        local client = closing(box:client(options))
        local err = expect.failure({ code = code, outcome = "unknown" }, client:call "Echo")
        messages.check(expected:gsub("BOX", at(box.port)), err.message)
    end

    it("nothing of it, in time", function()
        says_of({ fault = "stall", seconds = 60 }, "TIMEOUT",
            "waiting for the answer of BOX: not a line of it came within 300 ms", { timeout = 0.3 })
        says_of({ fault = "stall", seconds = 60 }, "TIMEOUT", "waiting for the answer of BOX "
            .. "(connect_to), for " .. API .. ": not a line of it came within 1 s",
            { timeout = 1, endpoint = API, connect_to = at(box.port) })
        says_of({ fault = "stall", seconds = 60 }, "DEADLINE_EXCEEDED",
            "waiting for the answer of BOX: not a line of it came within * ms", { deadline = 0.3 })
    end)

    it("a part of it, in time", function()
        local other = server.start("scripted", { script = { {
            send = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789",
        } } })
        local client = closing(assert(safe.new {
            access_key_id = "a", access_key_password = "b", max_attempts = 1, timeout = 0.5,
            endpoint = "http://" .. at(other.port),
        }))
        local _, err = client:call "Echo"
        other:stop()
        expect.failure({ code = "TIMEOUT" }, nil, err)
        messages.check(("receiving from %s: 50 bytes came within 500 ms"):format(at(other.port)),
            err.message)
    end)

    it("because the request is not taken", function()
        local client = closing(assert(safe.new {
            access_key_id = "a", access_key_password = "b", max_attempts = 1, timeout = 0.5,
            endpoint = "http://" .. at(silent.port),
        }))
        local err = expect.failure({ code = "TIMEOUT", outcome = "unknown" },
            client:call("Echo", { text = ("x"):rep(20 * 1024 * 1024) }))
        messages.check(("sending to %s: not all was taken within 500 ms"):format(at(silent.port)),
            err.message)
    end)

    it("because the connection breaks", function()
        says_of({ fault = "reset_before" }, "CONNECTION_LOST", "waiting for the answer of BOX: *")
        says_of({ fault = "close_before" }, "CONNECTION_LOST", "waiting for the answer of BOX: *")
        says_of({ fault = "truncate", bytes = 150 }, "CONNECTION_LOST",
            "receiving from BOX: * (150 bytes came)")
    end)

    it("because it is too large", function()
        local expected = "receiving from BOX: a head over 64 KiB, or a body over max_response_bytes"
        says_of({ fault = "huge_header", bytes = 70000 }, "RESPONSE_TOO_LARGE", expected)
        says_of({ fault = "huge_body", bytes = 3000 }, "RESPONSE_TOO_LARGE", expected,
            { max_response_bytes = 2000 })
    end)
end)
