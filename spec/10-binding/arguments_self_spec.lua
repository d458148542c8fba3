-- Methods of a client that is closed, or of what is no client.
local errors = require "binding_errors"
local safe = require "zenlayer.safe"
local zenlayer = require "zenlayer"

local METHODS = {
    stop_instances = { { "ins-0001" } },
    describe_instances_status = {},
    call = { "DescribeInstances" },
    pages = { "DescribeInstances" },
    connect = {},
}

describe("a closed client", function()
    for method, arguments in pairs(METHODS) do
        it("refuses " .. method, function()
            for _ = 1, 2 do
                local err = errors.refused({ code = "CLIENT_CLOSED" }, function(module)
                    local client = module.new(errors.options())
                    client:close()
                    return client[method](client, table.unpack(arguments))
                end)
                assert.is_truthy(err.message:find "closed")
            end
        end)

        it("refuses " .. method .. " whatever its arguments are", function()
            errors.refused({ code = "CLIENT_CLOSED" }, function(module)
                local client = module.new(errors.options())
                client:close()
                return client[method](client, false, false, false)
            end)
        end)
    end

    it("is closed again without a word, in every way", function()
        for _, module in ipairs { zenlayer, safe } do
            local client = module.new(errors.options())
            for _ = 1, 3 do
                assert.equal(0, select("#", client:close()))
                getmetatable(client).__gc(client)
                getmetatable(client).__close(client)
            end
        end
    end)

    it("says so", function()
        for _, module in ipairs { zenlayer, safe } do
            local client = module.new(errors.options())
            assert.equal("zenlayer.client (" .. errors.NOWHERE .. ")", tostring(client))
            client:close()
            assert.equal("zenlayer.client (closed)", tostring(client))
        end
    end)

    it("does not close another", function()
        local one, other = zenlayer.new(errors.options()), zenlayer.new(errors.options())
        one:close()
        assert.equal("zenlayer.client (" .. errors.NOWHERE .. ")", tostring(other))
        other:close()
    end)
end)

describe("what is no client is refused by", function()
    METHODS.close = {}
    for method in pairs(METHODS) do
        it(method, function()
            for _, value in ipairs { {}, "client", 1, true, false, print, io.stdout,
                setmetatable({}, { __name = "zenlayer.client" }) } do
                local expected = { where = "self", text = "got " .. type(value) }
                local err = errors.refused(expected, function(module)
                    return module.new(errors.options())[method](value)
                end)
                assert.is_truthy(err.message:find("':'", 1, true))
            end
            errors.refused({ where = "self" }, function(module)
                return module.new(errors.options())[method]()
            end)
        end)
    end

    it("a dot in place of the colon", function()
        errors.refused({ where = "self", text = "expected a client, got table" }, function(module)
            return module.new(errors.options()).stop_instances({ "ins-0001" })
        end)
    end)
end)

describe("a method", function()
    it("of one module takes the other's client", function()
        local one, other = zenlayer.new(errors.options()), safe.new(errors.options())
        local ok, err = pcall(one.call, other, "")
        assert.is_false(ok)
        assert.equal("action", err.where)
        local result
        result, err = other.call(one, "")
        assert.is_nil(result)
        assert.equal("action", err.where)
        one:close()
        other:close()
    end)
end)
