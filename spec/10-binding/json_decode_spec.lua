-- How answers are read: numbers, null, and what is no answer of the API's.
local cjson = require "cjson"
local process = require "process"
local safe = require "zenlayer.safe"
local sandbox = require "binding_sandbox"
local zenlayer = require "zenlayer"

describe("an answer", function()
    local box, client

    setup(function()
        box = sandbox.start()
        client = box:client(safe)
    end)

    teardown(function()
        client:close()
        box:stop()
    end)

    local function answered(body, status)
        box:answer(body, status)
        return client:call("StopThings")
    end

    -- The value that a text of JSON becomes.
    local function read(text)
        local response, request_id = answered('{"requestId":"T1","response":{"x":' .. text .. "}}")
        assert(response, tostring(request_id) .. " for " .. text:sub(1, 100))
        assert.equal("T1", request_id)
        return response.x
    end

    local function refused(body)
        local response, err = answered(body)
        assert(response == nil and safe.is_error(err),
            ("%q gave %s, %s"):format(body:sub(1, 60), tostring(response), tostring(err)))
        assert.equal("BAD_RESPONSE", err.code)
        assert.equal("protocol", err.kind)
        assert.equal("unknown", err.outcome)
        assert.equal(200, err.http_status)
        assert.is_true(#tostring(err) <= 1024)
    end

    it("has integers for whole numbers up to 2^53", function()
        for text, value in pairs {
            ["0"] = 0, ["-0"] = 0, ["1"] = 1, ["-1"] = -1, ["100"] = 100, ["100.0"] = 100,
            ["1e2"] = 100, ["1E2"] = 100, ["123456789012345"] = 123456789012345,
            ["9007199254740991"] = 2^53 - 1, ["-9007199254740991"] = 1 - 2^53,
            ["9007199254740992"] = 2^53, ["-9007199254740992"] = -2^53,
        } do
            local got = read(text)
            assert.equal("integer", math.type(got), text)
            assert.equal(value, got)
        end
    end)

    it("has floats for all other numbers", function()
        for text, value in pairs {
            ["0.5"] = 0.5, ["-1.25"] = -1.25, ["1e-3"] = 0.001, ["9007199254740994"] = 2.0^53 + 2,
            ["-9007199254740994"] = -2.0^53 - 2, ["18446744073709551615"] = 2.0^64,
            ["9223372036854775807"] = 2.0^63, ["-9223372036854775808"] = -2.0^63,
            ["-18446744073709551615"] = -2.0^64, ["9223372036854775808"] = 2.0^63,
            ["1234567890123456789"] = 1234567890123456789.0,
            ["1234567890.1234567890123"] = 1234567890.1234567890123,
            ["0.1234567890123456789"] = 0.1234567890123456789,
            ["12345678901234567890e-10"] = 12345678901234567890e-10,
            ["1e300"] = 1e300, ["5e-324"] = 5e-324, ["1e-400"] = 0,
        } do
            local got = read(text)
            assert.equal(text == "1e-400" and "integer" or "float", math.type(got), text)
            assert.equal(value, got)
        end
    end)

    it("has numbers beyond a double's range as infinities, not as something else", function()
        assert.equal(math.huge, read "1e400")
        assert.equal(-math.huge, read "-1e400")
        assert.equal(math.huge, read(("9"):rep(400)))
    end)

    -- What has none of both is not gone through for them.
    it("has numbers and nulls the same after whatever text", function()
        for _, text in ipairs {
            '"\\""', '"a\\\\"', '"\\\\\\""', '"n"', '""', '"-"', "true", "[]", '"\\u0022,"',
        } do
            local value = read('{"a":' .. text .. ',"b":7,"c":null,"d":[null]}')
            assert.equal("7", tostring(value.b), text)
            assert.is_nil(value.c, text)
            assert.equal(zenlayer.null, value.d[1], text)
            value = read('{"a":' .. text .. ',"d":null}')
            assert.is_nil(value.d, text)
        end
    end)

    it("has strings of digits as they are", function()
        for _, text in ipairs {
            "18446744073709551615", '\\"18446744073709551615', "\\\\", "a,18446744073709551615]",
        } do
            local got = read(('["%s",18446744073709551615,"%s",{"%s":18446744073709551615}]')
                :format(text, text, text))
            local plain = text:gsub("\\(.)", "%1")
            assert.same({ plain, 2.0^64, plain, { [plain] = 2.0^64 } }, got)
        end
    end)

    it("has numbers the same wherever they stand", function()
        local got = read '[1,2.5,{"a":3,"b":[4,9007199254740994]}]'
        assert.equal("integer", math.type(got[1]))
        assert.equal("float", math.type(got[2]))
        assert.equal("integer", math.type(got[3].a))
        assert.equal("integer", math.type(got[3].b[1]))
        assert.equal("float", math.type(got[3].b[2]))
    end)

    it("has no member where an object has null", function()
        assert.is_nil(read "null")
        local got = read '{"a":null,"b":1,"c":{"d":null},"1":null,"e":null,"f":false}'
        assert.same({ b = 1, c = {}, f = false }, got)
    end)

    it("has zenlayer.null where an array has null", function()
        local got = read '[null,1,null,[null],{"a":[null]}]'
        assert.equal(5, #got)
        for _, null in ipairs { got[1], got[3], got[4][1], got[5].a[1] } do
            assert.equal(zenlayer.null, null)
            assert.equal(safe.null, null)
            assert.equal(cjson.null, null)
        end
    end)

    it("has strings as they are", function()
        assert.equal("a\0b\27\"\\/é漢🚀", read [["a\u0000b\u001b\"\\\/\u00e9漢\ud83d\ude80"]])
        assert.equal("", read '""')
        local long = ("x"):rep(2^20)
        assert.equal(long, read('"' .. long .. '"'))
    end)

    it("has the last of two members with one name", function()
        assert.same({ a = 2 }, read '{"a":1,"a":2}')
        assert.same({}, read '{"a":1,"a":null}')
    end)

    it("may be deep, but not deeper than 100", function()
        for _, brackets in ipairs { { "[", "]" }, { '{"a":', "}" } } do
            local got = read(brackets[1]:rep(90) .. "1" .. brackets[2]:rep(90))
            for _ = 1, 90 do
                got = got[1] or got.a
            end
            assert.equal(1, got)
            for _, depth in ipairs { 101, 1000, 100000 } do
                local bomb = brackets[1]:rep(depth) .. "1" .. brackets[2]:rep(depth)
                refused('{"requestId":"T1","response":{"x":' .. bomb .. "}}")
                refused('{"requestId":"T1","response":{"x":' .. brackets[1]:rep(depth))
            end
        end
        refused(('{"requestId":'):rep(100000))
        refused(("["):rep(100000))
    end)

    it("with a number that is none of JSON's is bad", function()
        for _, text in ipairs { "NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "0x10", "01",
            "+1", ".5", "-", "1e", "- 1", "1..2", "1.2.3" } do
            refused('{"requestId":"T1","response":{"x":' .. text .. "}}")
            refused('{"requestId":"T1","response":{"x":[1,' .. text .. "]}}")
        end
    end)

    it("that is not JSON, or no object, is bad", function()
        for _, body in ipairs { "", " ", "\n", "null", "true", "1", '"T1"', "[]", "[{}]",
            '["requestId"]', "{", "}", "{}x", '{"requestId":"T1"', '{"requestId":"T1"}}',
            '{"requestId":"T1"} {}', '{"requestId":"T1",}', "{requestId:1}", "{'requestId':'T1'}",
            '{"requestId":"T1\\x"}', '{"requestId":"\\ud800"}', "<html></html>", "OK",
            '\239\187\191{"requestId":"T1"}', "\0", "\255\254{",
            '{"requestId" "T1"}', '{"requestId":}', '{"a":tru}', '{"a":nul}' } do
            refused(body)
        end
    end)

    it("of the wrong shape is bad", function()
        for _, body in ipairs { "{}", '{"response":{}}', '{"requestId":""}', '{"requestId":null}',
            '{"requestId":1}', '{"requestId":["T1"]}', '{"requestId":{"a":"T1"}}',
            '{"requestId":"T1","response":"x"}', '{"requestId":"T1","response":1}',
            '{"requestId":"T1","response":true}', '{"requestId":"T1","response":[1]}',
            '{"requestId":"T1","code":1}', '{"requestId":"T1","code":{}}' } do
            refused(body)
        end
    end)

    it("that goes on after a NUL byte is bad", function()
        for _, rest in ipairs { "", "x", '{"code":"X"}', "<html>" } do
            refused('{"requestId":"T1"}\0' .. rest)
        end
    end)

    it("in UTF-16 or UTF-32 is bad", function()
        local json = '{"requestId":"T1"}'
        refused((json:gsub(".", "%0\0")))
        refused((json:gsub(".", "\0%0")))
        refused((json:gsub(".", "%0\0\0\0")))
        refused "{\0"
        assert.equal("T1", select(2, answered(json)))
    end)

    it("is read whatever stands around it", function()
        for _, body in ipairs { ' \t\r\n{"requestId":"T1"}', '{"requestId":"T1"}\r\n \t',
            '{ "requestId" : "T1" }' } do
            local response, request_id = answered(body)
            assert.is_table(response)
            assert.equal("T1", request_id)
        end
    end)

    it("has its response, or its top level where there is none", function()
        local response, request_id = answered '{"requestId":"T1","totalCount":3}'
        assert.same({ requestId = "T1", totalCount = 3 }, response)
        assert.equal("T1", request_id)
        response, request_id = answered '{"requestId":"T1","response":null,"a":1}'
        assert.equal(1, response.a)
        assert.equal("T1", request_id)
        response, request_id = answered '{"response":{"requestId":"T2","a":1}}'
        assert.equal(1, response.a)
        assert.equal("T2", request_id)
    end)
end)

describe("the settings of the shared cjson", function()
    local box

    setup(function()
        box = sandbox.start()
    end)

    teardown(function()
        box:stop()
    end)

    local SCRIPT = [[
        local cjson = require "cjson"
        local function spoil()
            cjson.decode_invalid_numbers(true)
            cjson.encode_invalid_numbers(true)
            cjson.decode_max_depth(2)
            cjson.encode_max_depth(2)
            cjson.encode_number_precision(3)
        end
        if arg[2] == "before" then spoil() end
        local zenlayer = require "zenlayer"
        local invalid, depth = cjson.decode_invalid_numbers(), cjson.decode_max_depth()
        local client = zenlayer.new {
            access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password",
            endpoint = arg[1], max_attempts = 1,
        }
        if arg[2] == "after" then spoil() end
        local ok, result = pcall(client.call, client, "Any")
        print(ok and result.x[1][1][1][1] or result.code)
        local now_invalid, now_depth = cjson.decode_invalid_numbers(), cjson.decode_max_depth()
        if arg[2] == "after" then
            invalid, depth = true, 2
        end
        print(invalid == now_invalid, depth == now_depth, invalid, depth)
    ]]

    local function run(when, body)
        box:answer('{"requestId":"T1","response":{"x":' .. body .. "}}")
        local output, status = process.run_lua(SCRIPT, {}, box.endpoint, when)
        assert.equal(0, status, output)
        return output
    end

    it("do not change ours, and are not changed", function()
        for when, settings in pairs {
            never = "true\t1000", before = "true\t2", after = "true\t2",
        } do
            assert.equal("123456\ntrue\ttrue\t" .. settings .. "\n", run(when, "[[[[123456]]]]"))
            assert.equal("BAD_RESPONSE\ntrue\ttrue\t" .. settings .. "\n", run(when, "[[[[NaN]]]]"))
        end
    end)
end)
