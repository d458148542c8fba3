-- A proxy's password is in no error, whatever is wrong with the proxy or its URL.
local cjson = require "cjson"
local closing = require "every_lua".closing
local expect = require "expect"
local process = require "process"
local sandbox = require "sandbox"
local server = require "server"
local safe = require "zenlayer.safe"
local zenlayer = require "zenlayer"

-- Everything there is to read after a connect(), a call and a stop.
local CHILD = [[
local cjson, expect = require "cjson", require "expect"
local told = { codes = {}, texts = {} }
local client, refusal = require "zenlayer.safe".new(cjson.decode(arg[1]))
local function note(result, err)
    told.codes[#told.codes + 1] = result == nil and err.code or "ok"
    told.texts[#told.texts + 1] = result == nil and expect.texts(err) or ""
end
if client then
    told.texts[1] = tostring(client)
    note(client:connect())
    note(client:call "Echo")
    note(client:stop_instances({ "a", "b" }))
    client:close()
else
    note(nil, refusal)
end
print(cjson.encode(told))
]]

local function in_child(options, environment)
    local all = {
        https_proxy = false, HTTPS_PROXY = false, http_proxy = false, HTTP_PROXY = false,
        all_proxy = false, ALL_PROXY = false, no_proxy = false, NO_PROXY = false,
    }
    for name, value in pairs(environment or {}) do
        all[name] = value
    end
    local output, status = process.run_lua(CHILD, all, cjson.encode(options))
    assert.equal(0, status, output)
    assert.is_nil(output:find("s3cret", 1, true), output)
    return cjson.decode(output)
end

describe("a proxy's password", function()
    local box

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)

    -- One proxy, by option and by the environment: three failures each time, and no password.
    local function is_hidden(url, code, silent)
        local options = box:options {
            max_attempts = 1, connect_timeout = silent and 0.3 or 5, timeout = 10,
        }
        options.proxy = url
        local told = { in_child(options) }
        options.proxy = nil
        for _, name in ipairs { "https_proxy", "ALL_PROXY" } do
            told[#told + 1] = in_child(options, { [name] = url })
        end
        for _, each in ipairs(told) do
            assert.equal(3, #each.codes, each.texts[1])
            for i, found in ipairs(each.codes) do
                assert.is_truthy(found:find("^" .. code .. "$"), found .. ": " .. each.texts[i])
            end
        end
    end

    local SCHEMES = { "http", "https", "socks4", "socks4a", "socks5", "socks5h" }

    for name, how in pairs {
        ["nobody is there"] = { "closed" },
        ["it hangs up"] = { "proxy", { hang_up = true } },
        ["it refuses"] = { "proxy", { refuse = "403 Forbidden" } },
        ["it wants another password"] = { "proxy", { user = "user", password = "another" } },
        ["it breaks"] = { "proxy", { refuse = "502 Bad Gateway" } },
        ["it talks nonsense"] = { "scripted", { impatient = true } },
    } do
        it("is not shown when " .. name, function()
            local other = server.start(how[1], how[2])
            local ok, message = pcall(function()
                for _, scheme in ipairs(name == "nobody is there" and SCHEMES or { "http" }) do
                    is_hidden(("%s://user:s3cret@127.0.0.1:%d"):format(scheme, other.port),
                        "[%u_]+_FAILED")
                end
                is_hidden("user:s3cret@127.0.0.1:" .. other.port, "PROXY_FAILED")
            end)
            other:stop()
            assert(ok, message)
        end)
    end

    it("is not shown when the proxy is silent", function()
        local other = server.start("silent")
        local ok, message = pcall(is_hidden, "http://user:s3cret@127.0.0.1:" .. other.port,
            "CONNECT_TIMEOUT", true)
        other:stop()
        assert(ok, message)
    end)

    it("is not shown when the URL is no good", function()
        for _, url in ipairs {
            "http://user:s3cret@127.0.0.1:70000", "http://user:s3cret@[::1", "http://user:s3cret@",
            "http://user:s3cret@[no]:1", "http://user:s3cret@ho st:1", "http://user:s3cret@%zz:1",
            "http://user:s3cret@127.0.0.1:port", "http://user:s3cret/x@127.0.0.1:1",
            "http://user:s3cret#x@127.0.0.1:1", "http://user:s3cret?x@127.0.0.1:1",
            "http://:s3cret@127.0.0.1:1:1", "user:s3cret@", "http://us er:s3cret@127.0.0.1:x",
        } do
            is_hidden(url, "[%u_]+_FAILED")
        end
    end)

    for _, url in ipairs {
        "ftp://user:s3cret@127.0.0.1:3128", "socks9://user:s3cret@127.0.0.1:3128",
        "file://user:s3cret@127.0.0.1/", "://user:s3cret@127.0.0.1:3128",
        "user:s3cret://127.0.0.1:3128", "socks5hh://user:s3cret@127.0.0.1:3128",
        " http://user:s3cret@127.0.0.1:3128", "s3cret://127.0.0.1",
    } do
        local scheme = url:gsub("s3cret.*", "…")

        it("is not shown when the environment's proxy is of another kind: " .. scheme, function()
            local options = box:options { max_attempts = 1, connect_timeout = 1 }
            options.proxy = nil
            for _, name in ipairs { "https_proxy", "ALL_PROXY" } do
                local told = in_child(options, { [name] = url })
                assert.equal(3, #told.codes)
                for _, code in ipairs(told.codes) do
                    assert.is_truthy(code:find "_FAILED$", code)
                end
            end
        end)

        it("is not shown when the option's proxy is of another kind: " .. scheme, function()
            local options = box:options { proxy = url }
            local expected = {
                kind = "argument", code = "INVALID_ARGUMENT", where = "options.proxy",
                outcome = "not_sent", retryable = false,
            }
            local err = expect.failure(expected, safe.new(options))
            local _, raised = pcall(zenlayer.new, options)
            expect.failure(expected, nil, raised)
            for _, each in ipairs { err, raised } do
                local texts = expect.texts(each)
                assert.is_nil(texts:find("s3cret", 1, true), texts)
                assert.is_nil(texts:find("127.0.0.1", 1, true), texts)
            end
        end)
    end

    it("goes with every kind of proxy there is, however it is written", function()
        for _, scheme in ipairs(SCHEMES) do
            for _, written in ipairs { scheme, scheme:upper(), (scheme:gsub("s", "S")) } do
                local url = written .. "://user:s3cret@127.0.0.1:1"
                local client = closing(box:client { proxy = url })
                assert.is_nil(tostring(client):find("s3cret", 1, true))
            end
        end
    end)
end)
