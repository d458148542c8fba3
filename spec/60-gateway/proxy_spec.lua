-- Through a proxy: CONNECT, and TLS to the endpoint inside.
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"

local PASSWORD = "s3cr3t%2Fword"

describe("a proxy", function()
    local box, front, proxy

    setup(function()
        box = sandbox.start { "--certificate-name", "console.zenlayer.com" }
        front = remote.start(box)
    end)
    teardown(function()
        front:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)
    after_each(function()
        if proxy then
            proxy:stop()
            proxy = nil
        end
    end)

    local function through(options, more)
        proxy = server.start("proxy", options or {})
        local all = { proxy = "http://127.0.0.1:" .. proxy.port }
        for name, value in pairs(more or {}) do
            all[name] = value
        end
        return front:client(all)
    end

    it("carries the calls, all of them in one tunnel", function()
        local client = through()
        for i = 1, 20 do
            local response, err = client:call("Echo", { i = i })
            assert.equal(i, response and response.params.i, tostring(err))
        end
        assert.equal(1, #proxy:events "request")
        assert.equal(1, #box:connections())
        assert.equal(20, #box:requests())
    end)

    it("is told the endpoint, or what is to be dialled in its place", function()
        local client = through({ to = box.port }, { endpoint = "https://console.zenlayer.com" })
        assert(client:call "Echo")
        assert.equal("CONNECT console.zenlayer.com:443 HTTP/1.1", proxy:events("request")[1].line)
        assert.equal("console.zenlayer.com", box:requests()[1].host)
        proxy:stop()
        client = through({}, {
            endpoint = "https://console.zenlayer.com", connect_to = "127.0.0.1:" .. box.port,
        })
        assert(client:call "Echo")
        assert.equal(("CONNECT 127.0.0.1:%d HTTP/1.1"):format(box.port),
            proxy:events("request")[1].line)
    end)

    local function with_password(options)
        through(options)
        return front:client {
            proxy = ("http://user:%s@127.0.0.1:%d"):format(PASSWORD, proxy.port), max_attempts = 1,
        }
    end

    it("is given name and password, decoded", function()
        local client = with_password { user = "user", password = "s3cr3t/word" }
        assert(client:call "Echo")
    end)

    it("that refuses is PROXY_FAILED, and no password is told", function()
        local client = with_password { user = "user", password = "another" }
        local response, err = client:call "Echo"
        remote.failure({
            code = "PROXY_FAILED", kind = "network", outcome = "not_sent", attempts = 1,
        }, response, err)
        assert.truthy(err.message:find("407", 1, true), err.message)
        for _, text in ipairs { err.text, front.gateway:log() } do
            assert.is_nil(text:find("s3cr3t", 1, true))
        end
        assert.equal(0, #box:connections())
    end)

    it("that hangs up, that is not there, that answers nonsense is PROXY_FAILED", function()
        local client = through({ hang_up = true }, { max_attempts = 1 })
        local response, err = client:call "Echo"
        remote.failure({ code = "PROXY_FAILED", outcome = "not_sent" }, response, err)
        proxy:stop()
        response, err = client:call "Echo"
        remote.failure({ code = "PROXY_FAILED", outcome = "not_sent" }, response, err)
        proxy = server.start("scripted", { impatient = true })
        response, err = front:client({
            proxy = "127.0.0.1:" .. proxy.port, max_attempts = 1,
        }):call "Echo"
        remote.failure({ code = "PROXY_FAILED", outcome = "not_sent" }, response, err)
    end)

    it("that never answers is given connect_timeout, no more", function()
        proxy = server.start "silent"
        local began = process.now()
        local response, err = front:client({
            proxy = "http://127.0.0.1:" .. proxy.port, max_attempts = 1, connect_timeout = 0.5,
        }):call "Echo"
        remote.failure({ code = "CONNECT_TIMEOUT", outcome = "not_sent" }, response, err)
        assert.is_true(process.now() - began < 5 * process.slowness)
    end)

    it("has tunnels of its own: what was direct is not used for it", function()
        assert(front:client():call "Echo")
        local client = through()
        assert(client:call "Echo")
        assert.equal(1, #proxy:events "request")
    end)
end)
