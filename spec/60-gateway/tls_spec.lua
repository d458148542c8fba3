-- Who is trusted by a gateway, and names: resolved, not to be found, and never answered.
local certificates = require "certificates"
local cjson = require "cjson"
local dns = require "dns"
local expect = require "expect"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"

local SECONDS = 5 * process.slowness -- what must be over soon is over by then

describe("a gateway and the certificate of", function()
    local box, front, directory

    setup(function()
        box = sandbox.start { "--certificate-name", "console.zenlayer.com" }
        directory = process.temporary_directory()
        certificates.make(directory)
        certificates.self_signed(directory, "self")
        certificates.self_signed(directory, "expired", "20200101000000Z", "20200201000000Z")
        certificates.self_signed(directory, "future", "20900101000000Z", "20910101000000Z")
        front = remote.start(box)
    end)
    teardown(function()
        front:stop()
        box:stop()
        process.remove(directory)
    end)
    before_each(function()
        box:faults {}
    end)

    -- One call, with these certificates trusted, to a server with that one: what came of it, and
    -- how many requests and connections there were. nginx may log errors that are expected.
    local function call(trusted, options, expected)
        local other = server.start("scripted", options)
        local at = setmetatable({
            endpoint = "https://127.0.0.1:" .. other.port,
            ca_file = directory .. "/" .. trusted .. ".pem",
        }, sandbox)
        local gate = remote.start(at, { options = { max_attempts = 2 } })
        local response, err = gate:first():call "Echo"
        local requests, connections = #other:events "request", #other:events "connection"
        other:stop()
        gate:stop(expected)
        return response, err, requests, connections
    end

    local function tls(name, minimum, maximum)
        return {
            cert = directory .. "/" .. name .. ".pem", key = directory .. "/" .. name .. "-key.pem",
            minimum = minimum, maximum = maximum,
        }
    end

    local function not_trusted(response, err, requests, connections)
        remote.failure({
            kind = "network", code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1,
            retryable = false,
        }, response, err)
        assert.is_truthy(err.message:find("lua_ssl_trusted_certificate", 1, true))
        assert.equal(0, requests)
        assert.equal(1, connections)
    end

    it("a server that is trusted: it is talked to", function()
        local response, err, requests = call("ca", tls "server")
        expect.success(response, err)
        assert.equal(1, requests)
    end)

    it("somebody else's authority: it is not", function()
        not_trusted(call("self", tls "server"))
    end)

    it("nobody but itself: it is not", function()
        not_trusted(call("ca", tls "self"))
    end)

    it("the past: it is not, though it is trusted", function()
        not_trusted(call("expired", tls "expired"))
    end)

    it("the future: it is not, though it is trusted", function()
        not_trusted(call("future", tls "future"))
    end)

    it("somebody who wants to be asked about it: it is talked to, nobody is asked", function()
        local place = server.start "scripted"
        certificates.self_signed(directory, "asked", nil, nil, certificates.revocation(place.port))
        local response, err = call("asked", tls "asked")
        local connections = #place:events "connection"
        place:stop()
        expect.success(response, err)
        assert.equal(0, connections)
    end)

    it("another name: it is not, wherever connect_to leads", function()
        for _, name in ipairs { "other.zenlayer.com", "zenlayer.com", "127.0.0.2", "[::1]" } do
            remote.failure({
                kind = "network", code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1,
            }, front:client {
                endpoint = "https://" .. name, connect_to = "127.0.0.1:" .. box.port,
            }:call "Echo")
        end
        assert.equal(0, #box:requests())
    end)

    it("another name, and nginx does not say so: it is not", function()
        local err = remote.failure({
            kind = "network", code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1,
        }, front:client { endpoint = "https://other.test", connect_to = "127.0.0.1:" .. box.port }
            :run [[
                local socket = getmetatable(ngx.socket.tcp()).__index
                local sslhandshake = socket.sslhandshake
                function socket.sslhandshake(sock, ...)
                    local session = sslhandshake(sock, ...)
                    assert(session ~= nil) -- as resty.core does, when all was said at once
                    return session
                end
                local result, err = client:call "Echo"
                socket.sslhandshake = sslhandshake
                return result, err
            ]])
        assert.is_truthy(err.message:find(
            "the certificate is not that of other.test, or is not trusted", 1, true), err.message)
    end)

    it("that name: it is talked to where connect_to leads, also over a kept connection", function()
        local client = front:client {
            endpoint = "https://console.zenlayer.com", connect_to = "127.0.0.1:" .. box.port,
        }
        expect.success(client:stop_instances(box:ids(1)))
        expect.success(client:stop_instances(box:ids(1)))
        local requests = box:requests()
        assert.equal(2, #requests)
        assert.equal("console.zenlayer.com", requests[1].host)
        assert.is_true(requests[1].verified)
        assert.equal(1, #box:connections())
        -- A connection on which one name was verified is not taken for another.
        remote.failure({ code = "TLS_VERIFY_FAILED", outcome = "not_sent" }, front:client {
            endpoint = "https://other.zenlayer.com", connect_to = "127.0.0.1:" .. box.port,
        }:call "Echo")
        assert.equal(2, #box:requests())
    end)

    it("a server that knows TLS 1.2 alone: it is talked to", function()
        expect.success(call("ca", tls("server", "TLSv1_2", "TLSv1_2")))
    end)

    it("a server that knows TLS 1.1 at best: it is not", function()
        local response, err, requests = call("ca", tls("server", "TLSv1", "TLSv1_1"),
            { "SSL_do_handshake%(%) failed" })
        remote.failure({
            kind = "network", code = "TLS_FAILED", outcome = "not_sent", attempts = 2,
        }, response, err)
        assert.equal(0, requests)
    end)

    it("a server without TLS: it is not talked to", function()
        local response, err, requests, connections = call("ca", { impatient = true },
            { "SSL_do_handshake%(%) failed" })
        remote.failure({
            kind = "network", code = "TLS_FAILED", outcome = "not_sent", attempts = 2,
        }, response, err)
        assert.equal(0, requests)
        assert.equal(2, connections)
    end)
end)

describe("a gateway and a name", function()
    local box, known, front

    setup(function()
        box = sandbox.start { "--certificate-name", "api.test" }
        known = dns.start { ["api.test"] = { "127.0.0.1" } }
        front = remote.start(box, {
            resolver = known.address .. " ipv6=off", http = "resolver_timeout 5s;",
        })
    end)
    teardown(function()
        front:stop()
        known:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        known:set {}
    end)

    local function client(name, options)
        local all = { endpoint = ("https://%s:%d"):format(name, box.port), connect_timeout = 0.5 }
        for option, value in pairs(options or {}) do
            all[option] = value
        end
        return front:client(all)
    end

    it("that is no longer answered, once the connection that was kept has ended", function()
        -- A name of its own, over which nobody else has left a connection.
        known:set { names = { ["api.test"] = { "127.0.0.1" }, ["gone.test"] = { "127.0.0.1" } } }
        local far = client("api.test", {
            connect_to = "gone.test:" .. box.port, connect_timeout = 2, max_attempts = 1,
        })
        box:faults { {
            fault = "connection_close", requests = { 1 }, headers = { Connection = cjson.null },
        } }
        expect.success(far:call "Echo")
        process.sleep(1.2) -- nginx keeps an answer until its second is over, whatever that says
        known:set { names = { ["api.test"] = { "127.0.0.1" } }, silent = true }
        local began = process.now()
        remote.failure({ code = "CONNECT_TIMEOUT", outcome = "not_sent", attempts = 1 },
            far:call "Echo")
        local seconds = process.now() - began
        assert.is_true(seconds < 4 * process.slowness, seconds) -- not resolver_timeout
    end)

    it("that is known", function()
        local far = client("api.test", { connect_timeout = SECONDS })
        expect.success(far:stop_instances(box:ids(250)))
        local requests = box:requests()
        assert.equal(3, #requests)
        assert.equal("api.test:" .. box.port, requests[1].host)
        assert.is_true(#known:questions() >= 1)
        -- Over kept connections it need not be asked for.
        known:set { silent = true }
        for _ = 1, 3 do
            expect.success(far:call "Echo")
        end
    end)

    it("that does not exist", function()
        local err = remote.failure({
            kind = "network", code = "RESOLVE_FAILED", outcome = "not_sent", attempts = 2,
            retryable = true,
        }, client("nowhere.test", { max_attempts = 2 }):call "Echo")
        assert.is_truthy(err.message:find("nowhere.test", 1, true))
        err = remote.failure({ code = "RESOLVE_FAILED", outcome = "not_sent" },
            client("nowhere.test", { max_attempts = 1 }):stop_instances(box:ids(150)))
        for _, batch in ipairs(err.batches) do
            assert.equal("not_sent", batch.outcome)
        end
        assert.equal(0, #box:requests())
    end)

    it("that the server fails to find", function()
        known:set { failing = true }
        remote.failure({ code = "RESOLVE_FAILED", outcome = "not_sent", attempts = 1 },
            client("failing.test", { max_attempts = 1 }):call "Echo")
    end)

    it("that is never answered, no longer than connect_timeout", function()
        known:set { silent = true }
        for _, method in ipairs {
            "call('Echo')", "stop_instances({ 'a', 'b' })", "describe_instances_status({ 'a' })",
        } do
            for attempts = 1, 2 do
                -- A name of its own: nginx asks but once for one that it is asking for already.
                local far = client("silent-" .. front.made .. ".test", { max_attempts = attempts })
                local began = process.now()
                local err = remote.failure({ outcome = "not_sent", attempts = attempts },
                    far:run("return client:" .. method))
                local seconds = process.now() - began
                assert.is_true(err.code == "CONNECT_TIMEOUT" or err.code == "RESOLVE_FAILED")
                assert.is_true(seconds < 2.5 * process.slowness, seconds)
            end
        end
        assert.equal(0, #box:requests())
    end)

    it("that is never answered, for many batches", function()
        known:set { silent = true }
        local ids = box:ids(850)
        local began = process.now()
        local err = remote.failure({ outcome = "not_sent" },
            client("silent-batches.test", { max_attempts = 1 })
                :run("return client:stop_instances(..., { on_error = 'continue' })", ids))
        assert.is_true(process.now() - began < SECONDS)
        expect.partition(ids, err.batches)
    end)

    it("that is never answered, up to the deadline, and nothing is told to be sent", function()
        known:set { silent = true }
        local began = process.now()
        local err = remote.failure({
            kind = "timeout", code = "DEADLINE_EXCEEDED", outcome = "not_sent",
        }, client("silent-deadline.test", { connect_timeout = 15 })
            :run("return client:stop_instances(..., { deadline = 1 })", box:ids(1)))
        assert.is_true(process.now() - began < 6 * process.slowness)
        assert.equal("not_sent", err.batches[1].outcome)
    end)

    it("that is answered late", function()
        known:set { delay = 0.3 }
        expect.success(client("api.test", { connect_timeout = SECONDS }):call "Echo")
    end)

    it("that is never answered holds up nobody else", function()
        known:set { silent = true }
        local stuck = client("silent-alone.test", { max_attempts = 1, connect_timeout = 3 })
            :begin "return client:call 'Echo'"
        local began = process.now()
        for _ = 1, 5 do
            expect.success(front:first():call "Echo")
        end
        assert.is_true(process.now() - began < 2.5 * process.slowness)
        remote.failure({ outcome = "not_sent" }, stuck:result())
    end)

    it("after it was not answered can be called again", function()
        known:set { silent = true }
        local far = client("api.test", { max_attempts = 1, connect_to = "other.test:" .. box.port })
        remote.failure({ outcome = "not_sent" }, far:call "Echo")
        known:set { names = { ["api.test"] = { "127.0.0.1" }, ["other.test"] = { "127.0.0.1" } } }
        process.await(function()
            return (far:call "Echo")
        end, "a call that gets its name", 10)
    end)
end)
