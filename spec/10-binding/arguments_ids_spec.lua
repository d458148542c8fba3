-- Lists of instance ids: what is wrong with one is found before anything is sent.
local errors = require "binding_errors"
local property = require "binding_property"

local METHODS = { "stop_instances", "describe_instances_status" }

local function refused(method, expected, ids)
    return errors.refused(expected, function(module)
        local client = module.new(errors.options())
        return client[method](client, ids)
    end)
end

for _, method in ipairs(METHODS) do
    describe(method .. " refuses", function()
        it("what is no table", function()
            for _, value in ipairs { 1, 1.5, true, false, "ins-0001", print, io.stdout } do
                refused(method, { where = "instance_ids", text = "got " .. type(value) }, value)
            end
        end)

        it("an empty list", function()
            refused(method, { where = "instance_ids", text = "got an empty list" }, {})
        end)

        it("a hole, naming the first", function()
            for _, ids in ipairs { { "a", nil, "c" }, { [2] = "b" }, { "a", [2^31 - 1] = "z" } } do
                local hole = ids[1] and 2 or 1
                local where = ("instance_ids[%d]"):format(hole)
                refused(method, { where = where, text = "got nil" }, ids)
            end
        end)

        it("an item that is no non-empty string, with this text", function()
            local err = refused(method, { where = "instance_ids[3]" }, { "a", "b", 3 })
            assert.equal("instance_ids[3]: expected a non-empty string, got number", err.message)
            for _, value in ipairs { 0, 1.5, true, false, {}, print, io.stdout } do
                err = refused(method, { where = "instance_ids[2]" }, { "a", value, "c" })
                assert.equal("instance_ids[2]: expected a non-empty string, got " .. type(value),
                    err.message)
            end
            refused(method, { where = "instance_ids[1]", text = "got an empty string" }, { "" })
        end)

        it("an id with a NUL byte, wherever", function()
            for _, id in ipairs { "\0", "\0ins", "in\0s", "ins\0" } do
                refused(method, { where = "instance_ids[1]", text = "NUL" }, { id, "b" })
            end
        end)

        it("an id that is not valid UTF-8", function()
            for _, id in ipairs { "\255", "a\128", "\195", "\192\175", "\226\130", "\237\160\128",
                "\244\144\128\128", "\248\136\128\128\128" } do
                refused(method, { where = "instance_ids[2]", text = "UTF-8" }, { "a", id })
            end
        end)

        it("keys that are no index", function()
            for _, key in ipairs { "x", "1", 0, -1, 1.5, 2^53, math.huge, math.mininteger, true, {},
                print } do
                refused(method, { where = "instance_ids" }, { "a", "b", [key] = "c" })
            end
            refused(method, { where = "instance_ids" }, table.pack("a", "b"))
        end)

        -- Lua may say of such a table that it is as long as its last key.
        it("few that are far apart, at no great cost", function()
            local function peak_kib()
                local file = assert(io.open "/proc/self/status")
                local text = file:read "*a"
                file:close()
                return tonumber(text:match "VmHWM:%s+(%d+)")
            end
            for _, most in ipairs { 9, 10, 20, 26, 30 } do
                local items = {}
                for k = 0, most do
                    items[k + 1] = ("[%.0f] = 'ins-%d'"):format(2 ^ k, k)
                end
                -- One that is made at once keeps all of them where it looks for its length.
                local ids = load("return {" .. table.concat(items, ", ") .. "}")()
                local before = peak_kib()
                refused(method, { where = "instance_ids[3]", text = "got nil" }, ids)
                assert.is_true(peak_kib() - before < 16 * 1024)
            end
        end)

        it("the bad one among many, wherever it is", function()
            property.check(50, function()
                local ids, n = {}, math.random(1, 300)
                for i = 1, n do
                    ids[i] = "ins-" .. math.random(1000)
                end
                local bad = math.random(n)
                ids[bad] = property.pick { false, 7, "", "\0", "\255" }
                refused(method, { where = ("instance_ids[%d]"):format(bad) }, ids)
            end)
        end)
    end)
end

describe("stop_instances", function()
    it("wants ids", function()
        refused("stop_instances", { where = "instance_ids", text = "expected a list of strings" })
    end)
end)

describe("a list of ids", function()
    it("is read without its metatable", function()
        local touched = false
        local function touch()
            touched = true
            error "no metamethod is to be called"
        end
        local ids = setmetatable({ "a", false }, {
            __index = touch, __len = touch, __pairs = touch, __newindex = touch,
        })
        refused("stop_instances", { where = "instance_ids[2]", text = "got boolean" }, ids)
        assert.is_false(touched)
    end)
end)
