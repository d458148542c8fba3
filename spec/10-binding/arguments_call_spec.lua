-- What client:call refuses: actions that are no names, parameters that JSON cannot carry.
local errors = require "binding_errors"
local zenlayer = require "zenlayer"

local NAN = 0 / 0

local function refused(expected, ...)
    local arguments = table.pack(...)
    return errors.refused(expected, function(module)
        local client = module.new(errors.options())
        return client:call(table.unpack(arguments, 1, arguments.n))
    end)
end

describe("the action", function()
    it("must be there, and a name", function()
        refused { where = "action", text = "got nil" }
        for _, value in ipairs { 1, true, {}, print } do
            refused({ where = "action", text = "got " .. type(value) }, value)
        end
    end)

    it("must not carry what a header cannot, nor anything else", function()
        for _, action in ipairs { "", " ", "A B", "A\r\nX-Evil: 1", "A\r", "A\n", "A\0", "\0A",
            "A/B", "A:B", "É", "\255", "A\tB" } do
            refused({ where = "action" }, action)
        end
    end)
end)

describe("params", function()
    it("must be a table", function()
        for _, value in ipairs { 1, true, false, "{}", print, zenlayer.null,
            zenlayer.empty_array } do
            refused({ where = "params", text = "got " .. type(value) }, "Echo", value)
        end
    end)

    it("must be an object", function()
        refused({ where = "params", text = "object" }, "Echo", { 1, 2 })
    end)

    it("are refused with the path of what JSON cannot carry", function()
        for _, bad in ipairs {
            { print, "function" }, { coroutine.create(function() end), "thread" },
            { io.stdout, "userdata" },
            { NAN, "NaN" }, { 1 / 0, "infinities" }, { -1 / 0, "infinities" }, { "\255", "UTF-8" },
            { { 1, nil, 3 }, "holes" }, { { 1, a = 2 }, "both names and indices" },
            { { [0] = 1 }, "index" }, { { [1.5] = 1 }, "index" }, { { [true] = 1 }, "index" },
        } do
            local value, text = bad[1], bad[2]
            refused({ where = "params.x", text = text }, "Echo", { x = value })
            refused({ where = "params.filters[3]", text = text }, "Echo",
                { filters = { 1, 2, value } })
            refused({ where = "params.a[1].b[2].c", text = text }, "Echo",
                { a = { { b = { {}, { c = value } } } } })
        end
    end)

    it("are refused with bad keys of their own", function()
        refused({ where = "params", text = "index" }, "Echo", { [0] = 1 })
        refused({ where = "params", text = "index" }, "Echo", { [false] = 1 })
        refused({ where = "params", text = "both" }, "Echo", { 1, a = 1 })
        refused({ where = "params", text = "holes" }, "Echo", { nil, 2 })
        refused({ text = "UTF-8" }, "Echo", { a = { ["\195"] = 1 } })
    end)

    it("are refused with the path of a cycle", function()
        local direct = {}
        direct.me = direct
        refused({ where = "params.me", text = "contains itself" }, "Echo", direct)
        local indirect = { list = { {} } }
        indirect.list[1].back = indirect
        refused({ where = "params.list[1].back", text = "contains itself" }, "Echo", indirect)
        local inner = { {} }
        inner[1][1] = inner
        refused({ where = "params.x[1][1]", text = "contains itself" }, "Echo", { x = inner })
    end)

    it("are refused with over 100 tables within each other", function()
        for _, key in ipairs { "a", 1 } do
            local deep = {}
            for _ = 1, 98 do
                deep = { [key] = deep }
            end
            local err = refused({ text = "too deep" }, "Echo", { x = { deep } })
            assert(#err.where <= 1024)
            for _ = 1, 100000 do
                deep = { [key] = deep }
            end
            refused({ text = "too deep" }, "Echo", { x = deep })
        end
    end)
end)
