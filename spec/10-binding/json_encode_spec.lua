-- How params become JSON. What is refused is in arguments_call_spec.
local every_lua = require "every_lua"
local json = require "binding_json"
local process = require "process"
local property = require "binding_property"
local safe = require "zenlayer.safe"
local sandbox = require "binding_sandbox"
local zenlayer = require "zenlayer"

-- The next double: one up in its bytes (step 1), or down (-1).
local function neighbour(value, step)
    local bytes = { string.pack(">d", value):byte(1, 8) }
    bytes[8] = bytes[8] + step
    for i = 8, 2, -1 do
        local carry = bytes[i] > 255 and 1 or bytes[i] < 0 and -1 or 0
        bytes[i], bytes[i - 1] = bytes[i] - carry * 256, bytes[i - 1] + carry
    end
    return (string.unpack(">d", string.char(table.unpack(bytes))))
end

describe("params", function()
    local echo, box, client

    setup(function()
        echo = sandbox.start_echo()
        client = echo:client(zenlayer)
        box = sandbox.start()
    end)

    teardown(function()
        client:close()
        echo:stop()
        box:stop()
    end)

    local function send(params)
        return client:call("Echo", params)
    end

    local function bytes(params)
        return send(params).body
    end

    it("arrive as they were, always in the same bytes", function()
        property.check(400, function()
            local params = {}
            for _ = 1, math.random(0, 4) do
                params[property.text(8)] = json.random(math.random(0, 6), json.LEAVES)
            end
            local seen = send(params)
            assert.equal(json.encode(params), seen.body)
            assert.equal(json.reading(params), seen.reading)
        end)
    end)

    it("arrive with every float as it was", function()
        property.check(200, function()
            local params = { x = json.random(5, json.FLOATS) }
            local seen = send(params)
            assert.equal(json.reading(params), seen.reading)
        end)
    end)

    it("arrive signed, so that the sandbox accepts them", function()
        local boxed = box:client(safe)
        local sent = {}
        property.check(60, function(i)
            sent[i] = { text = property.text(100), list = { i, { i / 8 }, property.text(5) } }
            local response, err = boxed:call("Echo", sent[i])
            assert(response, tostring(err))
            assert.equal(#json.encode(sent[i]), response.size)
            assert.same(sent[i], response.params)
        end)
        local requests = box:requests()
        assert.equal(#sent, #requests)
        for i, request in ipairs(requests) do
            assert.is_true(request.verified)
            assert.same(sent[i], request.params)
        end
        boxed:close()
    end)

    it("have their keys sorted by bytes", function()
        assert.equal('{"":1,"A":2,"Z":3,"a":4,"aa":5,"b":6,"é":7,"漢":8,"🚀":9}', bytes {
            [""] = 1, A = 2, Z = 3, a = 4, aa = 5, b = 6, ["é"] = 7, ["漢"] = 8, ["🚀"] = 9,
        })
        assert.equal('{"a":1,"a\\u0000":2,"a\\u0000b":3,"a\\u0001":4}', bytes {
            ["a\0b"] = 3, ["a\1"] = 4, a = 1, ["a\0"] = 2,
        })
    end)

    it("are the same bytes however the table was filled", function()
        property.check(20, function()
            local names, one, other = {}, {}, {}
            for i = 1, math.random(1, 200) do
                names[i] = "name" .. i
                one[names[i]] = i
            end
            for i = 1, 500 do
                other["gone" .. i] = true
            end
            for i = #names, 1, -1 do
                other[names[i]] = i
            end
            for i = 1, 500 do
                other["gone" .. i] = nil
            end
            assert.equal(bytes(one), bytes(other))
        end)
    end)

    it("hold integers exactly", function()
        local most = math.tointeger(2^53)
        for _, value in ipairs { 0, 1, -1, 100, most, most - 1, 1 - most, -most,
            123456789012345 } do
            assert.equal(('{"x":%d}'):format(value), bytes { x = value })
        end
        -- The next ones are integers, or the nearest doubles.
        local beyond = { most + 1, -most - 1, math.maxinteger, math.mininteger }
        local texts = every_lua.integers and { "9007199254740993", "-9007199254740993",
            "9223372036854775807", "-9223372036854775808" }
            or { "9007199254740992", "-9007199254740992", "9.223372036854776e18",
                "-9.223372036854776e18" }
        for i, text in ipairs(texts) do
            assert.equal(('{"x":%s}'):format(text), bytes { x = beyond[i] })
        end
    end)

    it("hold floats in the shortest form that reads back the same", function()
        local zero = 0.0 -- to Lua 5.1, the constants 0.0 and -0.0 are one
        for text, value in pairs {
            ["0.1"] = 0.1, ["1e300"] = 1e300, ["5e-324"] = 5e-324, ["-0"] = -zero, ["0"] = 0.0,
            ["1"] = 1.0, ["-1.5"] = -1.5, ["100"] = 1e2, ["1.5e-7"] = 1.5e-7,
            ["0.30000000000000004"] = 0.1 + 0.2, ["9007199254740992"] = 2^53,
            ["1.7976931348623157e308"] = 1.7976931348623157e308,
            ["2.2250738585072014e-308"] = 2.2250738585072014e-308,
            ["3.141592653589793"] = math.pi, ["1e100"] = 1e100, ["1e23"] = 1e23,
        } do
            assert.equal(('{"x":%s}'):format(text), bytes { x = value })
        end
    end)

    it("hold random floats in the shortest form", function()
        property.check(10, function()
            local values = {}
            for i = 1, 1000 do
                values[i] = json.random_float()
            end
            local seen = send { x = values }
            assert.equal(json.reading { x = values }, seen.reading)
            assert.same({}, seen.longer)
        end)
    end)

    it("hold every power of two, and its neighbours, in the shortest form", function()
        local values = {}
        for exponent = -1074, 1023 do
            local power = 2.0 ^ exponent
            for step = -1, 1 do
                values[#values + 1] = neighbour(power, step)
            end
        end
        local seen = send { x = values }
        assert.equal(json.reading { x = values }, seen.reading)
        assert.same({}, seen.longer)
    end)

    it("tell an empty object from an empty array", function()
        assert.equal("{}", bytes {})
        assert.equal("{}", bytes())
        assert.equal('{"a":{},"b":[],"c":[{},[]],"d":{"e":[]}}', bytes {
            a = {}, b = zenlayer.empty_array, c = { {}, safe.empty_array },
            d = { e = zenlayer.empty_array },
        })
    end)

    it("hold null, true and false", function()
        assert.equal('{"a":null,"b":true,"c":false,"d":[null,false,null]}', bytes {
            a = zenlayer.null, b = true, c = false, d = { safe.null, false, zenlayer.null },
        })
    end)

    it("hold strings with every character", function()
        assert.equal([[{"x":"\u0000\u0001\b\t\n\u000b\f\r\u001b\"\\/]] .. "\127é漢🚀\"}",
            bytes { x = '\0\1\b\t\n\v\f\r\27"\\/\127é漢🚀' })
        for code = 0, 0xFFFF, 37 do
            if code < 0xD800 or code > 0xDFFF then
                local text = utf8.char(code)
                assert.equal(json.encode { x = text }, bytes { x = text })
            end
        end
    end)

    it("may hold the same table twice", function()
        local shared = { 1, { a = "b" } }
        assert.equal('{"x":[1,{"a":"b"}],"y":[[1,{"a":"b"}],[1,{"a":"b"}]]}',
            bytes { x = shared, y = { shared, shared } })
    end)

    it("may be 100 tables deep", function()
        for _, key in ipairs { "a", 1 } do
            local deep = {}
            for _ = 1, 98 do
                deep = { [key] = deep }
            end
            assert.equal(json.encode { x = deep }, bytes { x = deep })
        end
    end)

    it("are read without their metatables", function()
        local touched = {}
        local hostile = {}
        for _, name in ipairs { "__index", "__newindex", "__pairs", "__ipairs", "__len",
            "__tostring", "__name", "__call", "__eq", "__concat" } do
            hostile[name] = function()
                touched[#touched + 1] = name
                error "no metamethod is to be called"
            end
        end
        hostile.__metatable = "locked"
        local list = setmetatable({ 1, 2, setmetatable({}, hostile) }, hostile)
        assert.equal('{"a":[1,2,{}]}', bytes(setmetatable({ a = list }, hostile)))
        assert.same({}, touched)
    end)

    it("are left as they are", function()
        local params = { a = { 1, 2, { b = "c" } } }
        local before = json.encode(params)
        bytes(params)
        assert.equal(before, json.encode(params))
    end)

    it("may hold a string of a mebibyte", function()
        local text = {}
        for i = 1, 65536 do
            text[i] = ("%016x"):format(i)
        end
        text = table.concat(text)
        local boxed = box:client(safe)
        local response, err = boxed:call("Echo", { text = text })
        assert(response, tostring(err))
        assert.equal(#text + #'{"text":""}', response.size)
        local path = echo.directory .. "/mebibyte"
        process.write(path, '{"text":"' .. text .. '"}')
        assert.equal(process.check { "sha256sum", path }:match "^%x+", response.sha256)
        boxed:close()
    end)
end)
