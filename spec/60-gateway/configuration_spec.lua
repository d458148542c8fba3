-- What is missing in nginx.conf is named by the error.
local certificates = require "certificates"
local cjson = require "cjson"
local dns = require "dns"
local expect = require "expect"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"
local server = require "server"
local uv = require "luv"

-- A busy machine may need more than the 5 s of the default; what took longer is tried again, and
-- that is an attempt more.
local PATIENT = { connect_timeout = 25 }

local DIRECTIVES = { "lua_ssl_trusted_certificate", "lua_ssl_verify_depth" }

local function names(err, ...)
    for _, word in ipairs { ... } do
        assert.is_truthy(err.message:find(word, 1, true), err.message)
    end
end

describe("nginx.conf without resolver", function()
    local box

    setup(function()
        box = sandbox.start { "--certificate-name", "api.test" }
    end)
    teardown(function()
        box:stop()
    end)

    it("fails calls to a name, and says what it needs", function()
        local front = remote.start(box)
        local ok, message = pcall(function()
            for _, options in ipairs {
                { endpoint = "https://api.test:" .. box.port },
                { connect_to = "api.test:" .. box.port },
                { endpoint = "https://api.test:" .. box.port, connect_to = "other.test" },
            } do
                local client = front:client(options)
                local err = remote.failure({
                    kind = "argument", code = "NOT_CONFIGURED", outcome = "not_sent", attempts = 1,
                    retryable = false,
                }, client:call "Echo")
                names(err, "resolver", "nginx.conf")
                err = remote.failure({ code = "NOT_CONFIGURED", outcome = "not_sent" },
                    client:stop_instances(box:ids(250)))
                for _, batch in ipairs(err.batches) do
                    assert.equal("not_sent", batch.outcome)
                end
            end
            assert.equal(0, #box:requests())
            -- An address is no name, and a connect_to with one does without.
            expect.success(front:client():call "Echo")
            expect.success(front:client {
                endpoint = "https://api.test:" .. box.port, connect_to = "127.0.0.1:" .. box.port,
            }:call "Echo")
        end)
        front:stop()
        assert(ok, message)
    end)

    it("is good enough once it has one", function()
        local known = dns.start { ["api.test"] = { "127.0.0.1" } }
        local front = remote.start(box, { resolver = known.address .. " ipv6=off" })
        local response, err = front:client { endpoint = "https://api.test:" .. box.port }
            :call "Echo"
        front:stop()
        known:stop()
        expect.success(response, err)
    end)
end)

describe("nginx.conf without lua_ssl_trusted_certificate", function()
    it("trusts nobody, and says what it needs", function()
        local box = sandbox.start()
        remote.with(box, { ca_file = false, options = PATIENT }, function(front)
            local err = remote.failure({
                kind = "network", code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1,
                retryable = false,
            }, front:first():call "Echo")
            names(err, table.unpack(DIRECTIVES))
            err = remote.failure({ code = "TLS_VERIFY_FAILED", outcome = "not_sent" },
                front:first():stop_instances(box:ids(150)))
            assert.equal(2, #err.batches)
            assert.equal(0, #box:requests())
        end)
    end)
end)

describe("lua_ssl_verify_depth", function()
    local directory, far_away

    setup(function()
        directory = process.temporary_directory()
        certificates.chain(directory, 2)
        far_away = server.start("scripted", {
            cert = directory .. "/chain.pem", key = directory .. "/chain-key.pem",
        })
    end)
    teardown(function()
        far_away:stop()
        process.remove(directory)
    end)

    local function call(directives)
        local box = setmetatable({
            endpoint = "https://127.0.0.1:" .. far_away.port, ca_file = directory .. "/root.pem",
        }, sandbox)
        local front = remote.start(box, { http = directives, options = PATIENT })
        local response, err = front:first():call "Echo"
        front:stop()
        return response, err
    end

    it("that is too small for the chain is named", function()
        for _, directives in ipairs { "", "lua_ssl_verify_depth 1;" } do
            local err = remote.failure({
                kind = "network", code = "TLS_VERIFY_FAILED", outcome = "not_sent", attempts = 1,
            }, call(directives))
            names(err, table.unpack(DIRECTIVES))
        end
        assert.equal(0, #far_away:events "request")
    end)

    it("that is large enough verifies the chain", function()
        expect.success(call "lua_ssl_verify_depth 5;")
        assert.equal(1, #far_away:events "request")
    end)
end)

describe("keys in the environment", function()
    local box
    local VARIABLES = { "ZENLAYER_ACCESS_KEY_ID", "ZENLAYER_ACCESS_KEY_SECRET", "ZENLAYER_TOKEN" }

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
        for _, name in ipairs(VARIABLES) do
            uv.os_unsetenv(name)
        end
    end)

    -- A client without keys, in an nginx of this environment.
    local function new(env)
        local front = remote.start(box, { env = env })
        local client = front:client { access_key_id = false, access_key_password = false }
        local response, err = client:call "Echo"
        front:stop()
        return response, err
    end

    it("are not seen by the workers without env lines, and the error says so", function()
        uv.os_setenv(VARIABLES[1], box.KEY_ID)
        uv.os_setenv(VARIABLES[2], box.PASSWORD)
        local response, err = new { HOME = "/nonexistent" }
        uv.os_unsetenv(VARIABLES[1])
        uv.os_unsetenv(VARIABLES[2])
        err = remote.failure({
            kind = "credentials", code = "CREDENTIALS_MISSING", outcome = "not_sent",
        }, response, err)
        names(err, "env " .. VARIABLES[1] .. ";", "env " .. VARIABLES[2] .. ";", "env HOME;",
            "nginx.conf")
        assert.is_nil(err.text:find(box.PASSWORD, 1, true))
    end)

    it("are found with env lines", function()
        expect.success(new {
            ZENLAYER_ACCESS_KEY_ID = box.KEY_ID, ZENLAYER_ACCESS_KEY_SECRET = box.PASSWORD,
        })
        expect.success(new { ZENLAYER_TOKEN = box.TOKEN })
    end)

    it("may lie in the files of the HOME that an env line lets through", function()
        local home = process.temporary_directory()
        process.check { "mkdir", home .. "/.zenlayer" }
        local path = home .. "/.zenlayer/credentials.json"
        process.write(path, cjson.encode { default = { token = box.TOKEN } })
        process.check { "chmod", "600", path }
        local response, err = new { HOME = home }
        process.remove(home)
        expect.success(response, err)
    end)

    it("that are half a pair are no pair", function()
        local err = remote.failure({ kind = "credentials", code = "CREDENTIALS_INVALID" },
            new { ZENLAYER_ACCESS_KEY_ID = box.KEY_ID })
        names(err, "ZENLAYER_ACCESS_KEY_SECRET")
    end)
end)
