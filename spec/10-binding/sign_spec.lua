-- zenlayer.sign: the vectors, and its arguments.
local errors = require "binding_errors"
local lfs = require "lfs"
local process = require "process"
local property = require "binding_property"
local zenlayer = require "zenlayer"

local VECTORS = "spec/vectors"

local function vector(name)
    local folder = VECTORS .. "/" .. name .. "/"
    local input = {}
    for key, value in process.read(folder .. "input"):gmatch "([%w_]+)=([^\n]*)\n" do
        input[key] = value
    end
    input.timestamp = math.tointeger(tonumber(input.timestamp))
    input.body = process.read(folder .. "body")
    return input, process.read(folder .. "authorization")
end

local function good(changes)
    local options = {
        access_key_id = "0D9UtpyKYcHxms5v", access_key_password = "Gu5t9xGARNpq86cd98joQYCN3",
        host = "console.zenlayer.com", body = '{"pageSize":10,"pageNum":1,"zoneId":"HKG-A"}',
        timestamp = 1673361177,
    }
    for name, value in pairs(changes or {}) do
        options[name] = value
    end
    return options
end

describe("sign", function()
    local count = 0
    for name in lfs.dir(VECTORS) do
        if lfs.attributes(VECTORS .. "/" .. name .. "/input") then
            count = count + 1
            it("agrees with vector " .. name, function()
                local input, authorization = vector(name)
                local headers = zenlayer.sign(input)
                assert.equal(authorization, headers.Authorization)
                assert.equal(input.host, headers.Host)
                assert.equal(input.content_type, headers["Content-Type"])
                assert.equal(tostring(input.timestamp), headers["X-ZC-Timestamp"])
            end)
        end
    end
    assert(count > 50, "where are the vectors?")

    it("gives these headers, and no more", function()
        local expected = {
            Authorization = "ZC2-HMAC-SHA256 Credential=0D9UtpyKYcHxms5v, "
                .. "SignedHeaders=content-type;host, Signature="
                .. "efb356c32e55c781e10dc676da59462c22596d82e91c57803666243379555b2f",
            Host = "console.zenlayer.com",
            ["Content-Type"] = "application/json; charset=utf-8",
            ["X-ZC-Signature-Method"] = "ZC2-HMAC-SHA256",
            ["X-ZC-Timestamp"] = "1673361177",
        }
        assert.same(expected, zenlayer.sign(good()))
        expected["X-ZC-Action"], expected["X-ZC-Version"] = "StopInstances", "2026-04-01"
        assert.same(expected, zenlayer.sign(good {
            action = "StopInstances", api_version = "2026-04-01",
        }))
    end)

    it("says the same for the same, whatever the time is, and leaves its options alone", function()
        property.check(100, function()
            local options = good {
                access_key_id = "K" .. property.text(20):gsub("[%c]", ""),
                access_key_password = "P" .. property.bytes(math.random(0, 100)):gsub("%z", "x"),
                body = property.bytes(math.random(0, 300)),
                timestamp = math.random(0, 2^20) * 2^20,
            }
            local before = {}
            for name, value in pairs(options) do
                before[name] = value
            end
            local one = zenlayer.sign(options)
            assert.same(before, options)
            local other = zenlayer.sign(before)
            assert.same(one, other)
            assert.are_not.equal(one, other)
            assert.same(one, assert(require "zenlayer.safe".sign(options)))
        end)
    end)

    it("depends on every byte of what it signs", function()
        local reference = zenlayer.sign(good()).Authorization
        for name, value in pairs {
            access_key_password = "Gu5t9xGARNpq86cd98joQYCN4", host = "console.zenlayer.com:8443",
            body = '{"pageSize":10,"pageNum":1,"zoneId":"HKG-B"}', timestamp = 1673361178,
            content_type = "application/json",
        } do
            assert.are_not.equal(reference, zenlayer.sign(good { [name] = value }).Authorization)
        end
        for _, name in ipairs { "action", "api_version" } do -- not signed
            assert.equal(reference, zenlayer.sign(good { [name] = "x" }).Authorization)
        end
    end)

    it("takes timestamps that are whole and not negative, as floats too", function()
        for _, timestamp in ipairs { 0, 1, 2^31, 2^33, 2^53, 1673361177.0, 0.0, -0.0 } do
            local whole = math.tointeger(timestamp)
            local headers = zenlayer.sign(good { timestamp = timestamp })
            assert.equal(("%d"):format(whole), headers["X-ZC-Timestamp"])
            assert.same(zenlayer.sign(good { timestamp = whole }), headers)
        end
    end)

    it("refuses other timestamps", function()
        for _, timestamp in ipairs { 0.5, -1, 1673361177.25, 0 / 0, 1 / 0, -1 / 0, 1e300,
            math.maxinteger, math.mininteger, 2^53 + 2 } do
            errors.refused({ where = "options.timestamp" }, function(module)
                return module.sign(good { timestamp = timestamp })
            end)
        end
        for _, timestamp in ipairs { "1673361177", true, {}, print } do
            errors.refused({ where = "options.timestamp", text = "got " .. type(timestamp) },
                function(module)
                    return module.sign(good { timestamp = timestamp })
                end)
        end
    end)

    it("wants the key pair, host, body and timestamp", function()
        for name in pairs(good()) do
            local options = good()
            options[name] = nil
            errors.refused({ where = "options." .. name, text = "is required" }, function(module)
                return module.sign(options)
            end)
        end
        for _, options in ipairs { false, {} } do
            errors.refused({ text = "is required" }, function(module)
                return module.sign(options or nil)
            end)
        end
    end)

    it("refuses wrong types, and options that it has not", function()
        for _, name in ipairs { "access_key_id", "access_key_password", "host", "body", "action",
            "api_version", "content_type" } do
            for _, value in ipairs { 1, true, false, {}, print } do
                errors.refused({ where = "options." .. name, text = "got " .. type(value) },
                    function(module)
                        return module.sign(good { [name] = value })
                    end)
            end
        end
        for _, name in ipairs { "token", "method", "Host", "host\0", "service" } do
            errors.refused({ where = "options", code = "UNKNOWN_OPTION" }, function(module)
                return module.sign(good { [name] = "x" })
            end)
        end
        for _, value in ipairs { 1, "x", true, print } do
            errors.refused({ where = "options", text = "got " .. type(value) }, function(module)
                return module.sign(value)
            end)
        end
    end)

    it("refuses what a header cannot carry", function()
        for _, name in ipairs { "access_key_id", "host", "action", "api_version",
            "content_type" } do
            for _, value in ipairs { "a\rb", "a\nb", "a\r\nX-Evil: 1", "a\0b", "\n", "" } do
                errors.refused({ where = "options." .. name }, function(module)
                    return module.sign(good { [name] = value })
                end)
            end
        end
    end)

    it("refuses names, hosts and content types over 512 bytes, not bodies and passwords", function()
        for _, name in ipairs { "access_key_id", "host", "content_type" } do
            assert.is_table(zenlayer.sign(good { [name] = ("x"):rep(512) }))
            errors.refused({}, function(module)
                return module.sign(good { [name] = ("x"):rep(513) })
            end)
        end
        for _, name in ipairs { "access_key_password", "body", "action" } do
            assert.is_table(zenlayer.sign(good { [name] = ("x"):rep(100000) }))
        end
    end)

    it("shows no secret in an error", function()
        for _, bad in ipairs { { timestamp = 0.5 }, { host = "" }, { body = 1 }, { x = 1 },
            { access_key_id = ("s3cr3t"):rep(100) }, { access_key_password = "s3cr3t\0" },
            { access_key_id = "s3cr3t\n" } } do
            local options = good { access_key_password = "s3cr3t" }
            for name, value in pairs(bad) do
                options[name] = value
            end
            local err = errors.caught(function(module)
                return module.sign(options)
            end)
            assert.is_nil(tostring(err):find("s3cr3t", 1, true))
            for _, field in pairs(err) do
                assert.is_nil(tostring(field):find("s3cr3t", 1, true))
            end
        end
    end)
end)
