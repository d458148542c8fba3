-- A gateway behind a proxy: CONNECT, its password, its refusals.
local expect = require "expect"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"

local SECRET = "s3cret word"
local ENCODED = "s3cret%20word"
local BASIC = "c3BlYzpzM2NyZXQgd29yZA==" -- of spec:s3cret word

describe("a gateway's proxy", function()
    local box, proxy, front

    setup(function()
        box = sandbox.start { "--certificate-name", "console.zenlayer.com" }
        proxy = server.start("proxy", { user = "spec", password = SECRET })
    end)
    teardown(function()
        proxy:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        -- With everything in the log that there is.
        front = remote.start(box, {
            server = "lua_socket_log_errors on; error_log debug.log debug;",
        })
    end)
    after_each(function()
        local log = front.gateway:log() .. process.read(front.gateway.directory .. "/debug.log")
        for _, secret in ipairs { "s3cret", "wr0ng", BASIC } do
            assert.is_nil(log:find(secret, 1, true), log)
        end
        pcall(front.stop, front) -- its log was looked at
    end)

    local function url(which, user)
        return "http://" .. (user or "spec:" .. ENCODED .. "@") .. "127.0.0.1:" .. which.port
    end

    local function hidden(err)
        local texts = expect.texts(err)
        for _, secret in ipairs { "s3cret", "wr0ng", BASIC } do
            assert.is_nil(texts:find(secret, 1, true), texts)
        end
    end

    it("is used, with one CONNECT for many calls", function()
        local before = #proxy:events "request"
        local client = front:client { proxy = url(proxy) }
        for n = 1, 10 do
            assert.equal(n, (expect.success(client:call("Echo", { n = n }))).params.n)
        end
        expect.success(client:stop_instances(box:ids(2)))
        local seen = proxy:events "request"
        assert.equal(before + 1, #seen)
        assert.equal("CONNECT 127.0.0.1:" .. box.port .. " HTTP/1.1", seen[#seen].line)
        assert.is_true(seen[#seen].with_authorization)
        assert.equal(11, #box:requests())
        assert.equal(1, #box:connections())
        local log = process.read(front.gateway.directory .. "/debug.log")
        assert.is_truthy(log:find("POST /run", 1, true)) -- so this is where to look for secrets
    end)

    it("carries what is sent at once through tunnels of their own", function()
        local before = #proxy:events "request"
        local client = front:client { proxy = url(proxy), max_concurrency = 3 }
        box:faults { { fault = "delay", seconds = 0.05 } }
        local ids = box:ids(850)
        local _, batches = expect.success(client:stop_instances(ids))
        expect.partition(ids, batches)
        assert.equal(9, #box:requests())
        assert.is_true(#proxy:events "request" - before <= 3)
    end)

    it("is asked for where connect_to says; the name is the endpoint's", function()
        local client = front:client {
            endpoint = "https://console.zenlayer.com", connect_to = "127.0.0.1:" .. box.port,
            proxy = url(proxy),
        }
        expect.success(client:call "Echo")
        local seen = proxy:events "request"
        assert.equal("CONNECT 127.0.0.1:" .. box.port .. " HTTP/1.1", seen[#seen].line)
        assert.equal("console.zenlayer.com", box:requests()[1].host)
    end)

    it("is told names as they are: it looks them up, and nginx does not", function()
        local names = server.start("proxy", { to = box.port })
        local client = front:client {
            endpoint = "https://console.zenlayer.com", proxy = url(names, ""),
        }
        local response, err = client:call "Echo"
        local seen = names:events "request"
        names:stop()
        expect.success(response, err)
        assert.equal("CONNECT console.zenlayer.com:443 HTTP/1.1", seen[1].line)
        assert.is_false(seen[1].with_authorization)
    end)

    it("does not share its tunnels with who has another password, or none", function()
        expect.success(front:client { proxy = url(proxy) }:call "Echo")
        for _, user in ipairs { "spec:wr0ng@", "" } do
            local err = remote.failure({ code = "PROXY_FAILED", outcome = "not_sent" },
                front:client { proxy = url(proxy, user), max_attempts = 1 }:call "Echo")
            hidden(err)
        end
        assert.equal(1, #box:requests())
        expect.success(front:client { proxy = false }:call "Echo")
        assert.equal(2, #box:connections())
    end)

    it("that wants another password fails the call, and nothing is quoted", function()
        local err = remote.failure({
            kind = "network", code = "PROXY_FAILED", outcome = "not_sent", attempts = 2,
            retryable = true,
        }, front:client { proxy = url(proxy, "spec:wr0ng@"), max_attempts = 2 }:call "Echo")
        assert.is_truthy(err.message:find("407", 1, true), err.message)
        hidden(err)
        assert.equal(0, #box:requests())
    end)

    for _, refusal in ipairs {
        "403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway", "301 Moved",
        "100 Continue",
    } do
        it("that refuses with " .. refusal .. " fails the call", function()
            local strict = server.start("proxy", { refuse = refusal })
            local client = front:client { proxy = url(strict), max_attempts = 2 }
            local response, err = client:stop_instances(box:ids(1))
            local seen = #strict:events "request"
            strict:stop()
            remote.failure({
                kind = "network", code = "PROXY_FAILED", outcome = "not_sent", attempts = 2,
            }, response, err)
            hidden(err)
            assert.equal(2, seen)
            assert.equal(0, #box:requests())
        end)
    end

    it("that hangs up, is not there, or talks nonsense, fails the call", function()
        local others = {
            server.start("proxy", { hang_up = true }), server.start "closed",
            server.start("scripted", { script = { { send = "SSH-2.0\r\n\r\n" } } }),
        }
        local errors = {}
        for i, other in ipairs(others) do
            errors[i] = select(2, front:client { proxy = url(other), max_attempts = 1 }
                :call "Echo")
            other:stop()
        end
        assert.equal(3, #errors)
        for _, err in ipairs(errors) do
            remote.failure({
                kind = "network", code = "PROXY_FAILED", outcome = "not_sent", attempts = 1,
            }, nil, err)
            hidden(err)
        end
    end)

    it("that is silent is given connect_timeout", function()
        for _, mode in ipairs { "silent", "full" } do
            local hole = server.start(mode)
            local began = process.now()
            local response, err = front:client {
                proxy = url(hole), max_attempts = 1, connect_timeout = 0.3,
            }:call "Echo"
            local seconds = process.now() - began
            hole:stop()
            remote.failure({ kind = "timeout", code = "CONNECT_TIMEOUT", outcome = "not_sent" },
                response, err)
            hidden(err)
            assert.is_true(seconds < 5 * process.slowness, seconds)
        end
    end)

    it("whose name nobody knows fails the call", function()
        local err = remote.failure({ outcome = "not_sent", attempts = 1 }, front:client {
            proxy = "http://spec:" .. ENCODED .. "@proxy.test:8080", max_attempts = 1,
        }:call "Echo")
        assert.equal("NOT_CONFIGURED", err.code) -- there is no resolver here
        hidden(err)
    end)

    it("that says more than that the tunnel stands fails the call", function()
        local chatty = server.start("scripted", { script = {
            { send = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" },
        } })
        local response, err = front:client { proxy = url(chatty), max_attempts = 1 }:call "Echo"
        chatty:stop()
        remote.failure({ code = "PROXY_FAILED", outcome = "not_sent", attempts = 1 }, response, err)
        hidden(err)
    end)

    it("does not loosen trust", function()
        local distrustful = remote.start(box, { ca_file = false })
        local response, err = distrustful:client { proxy = url(proxy) }:call "Echo"
        distrustful:stop()
        remote.failure({ code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1 }, response,
            err)
        hidden(err)
    end)

    it("of the environment is not used", function()
        local before = #proxy:events "request"
        local behind = remote.start(box, { env = { https_proxy = url(proxy) } })
        local client = behind:client()
        client.options.proxy = nil
        local response, err = client:call "Echo"
        behind:stop()
        expect.success(response, err)
        assert.equal(before, #proxy:events "request")
    end)

    it("is not shown by tostring", function()
        local text = front:client { proxy = url(proxy) }:run "return tostring(client)"
        assert.is_nil(text:find("s3cret", 1, true))
    end)
end)
