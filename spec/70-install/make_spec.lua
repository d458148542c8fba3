-- make install and make uninstall, for every Lua.
local machines = require "machine"
local process = require "process"
local sandbox = require "sandbox"

local interpreters = machines.interpreters()

describe("make install", function()
    local machine, box

    setup(function()
        machine = machines.new()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
        machine:remove()
    end)

    local function make(...)
        return machine:check({ "make", "-j2", ... }, "the sources", "077")
    end

    local function paths(prefix, version)
        return {
            "LUA_PATH=" .. machine:path(prefix) .. "/share/lua/" .. version .. "/?.lua;;",
            "LUA_CPATH=" .. machine:path(prefix) .. "/lib/lua/" .. version .. "/?.so;;",
        }
    end

    local function folders(list)
        local found = {}
        for _, line in ipairs(list) do
            found[#found + 1] = line:match "^%d+ %l+/$" or line:match "^%d+ %l+/lua/$"
                or line:match "^%d+ %l+/lua/5%.%d/$"
        end
        return found
    end

    for _, of in ipairs(interpreters) do
        it(("puts what %s needs where it is told, and takes it away again"):format(of.lua),
            function()
                local prefix = "a prefix of " .. of.lua
                local where = "PREFIX=" .. machine:path(prefix)
                local expected = machines.installed(of.version)
                make("install", "LUA=" .. of.lua, where)
                assert.same(expected, machine:list(prefix))
                machine:use(prefix, of, paths(prefix, of.version), box)

                local again = make("install", "LUA=" .. of.lua, where)
                assert.is_nil(again:find "  [CL][CI]" or again:find "  LINK", again)
                assert.same(expected, machine:list(prefix))

                make("uninstall", "LUA=" .. of.lua, where)
                assert.equal(6, #folders(expected))
                assert.same(folders(expected), machine:list(prefix))
                make("uninstall", "LUA=" .. of.lua, where)
                assert.same(folders(expected), machine:list(prefix))
            end)

        it(("puts it where %s looks by itself, if it is not told"):format(of.lua), function()
            local commands = make("-n", "install", "LUA=" .. of.lua)
            local folder = "/usr/local/lib/lua/" .. of.version
            assert.truthy(commands:find("'" .. folder .. "/zenlayer.so'", 1, true), commands)
            local scripts = "/usr/local/share/lua/" .. of.version
            assert.truthy(commands:find("'" .. scripts .. "/resty/zenlayer.lua'", 1, true))
            local looks = machine:check({ of.lua, "-e", "print(package.cpath, package.path)" },
                "empty")
            assert.truthy(looks:find(folder .. "/?.so", 1, true), looks)
            assert.truthy(looks:find(scripts .. "/?.lua", 1, true), looks)
        end)
    end

    it("under DESTDIR makes the tree of a package", function()
        local of = interpreters[1]
        local where = { "LUA=" .. of.lua, "PREFIX=/opt/x", "DESTDIR=" .. machine:path "a package" }
        make("install", table.unpack(where))
        local expected = { "755 opt/", "755 opt/x/" }
        for _, line in ipairs(machines.installed(of.version)) do
            expected[#expected + 1] = line:gsub(" ", " opt/x/")
        end
        assert.same(expected, machine:list "a package")
        make("uninstall", table.unpack(where))
        assert.equal(8, #machine:list "a package")
    end)

    it("leaves alone what others have beside it", function()
        local of = interpreters[1]
        local prefix = "a shared prefix"
        local where = { "LUA=" .. of.lua, "PREFIX=" .. machine:path(prefix) }
        local others = {
            "/lib/lua/V/zenlayer/other.so", "/share/lua/V/resty/core.lua",
            "/share/lua/V/resty/zenlayer/other.lua", "/share/lua/V/zenlayer/extra.lua",
        }
        for i, other in ipairs(others) do
            others[i] = machine:path(prefix) .. other:gsub("V", of.version)
            process.check { "mkdir", "-p", (others[i]:match "^(.*)/") }
            process.write(others[i], "theirs")
        end
        local before = machine:list(prefix)
        make("install", table.unpack(where))
        make("uninstall", table.unpack(where))
        assert.same(before, machine:list(prefix))
        for _, other in ipairs(others) do
            assert.equal("theirs", process.read(other))
        end
    end)

    it("needs nothing in the sources but the build folder", function()
        assert.equal("", machine:check({ "git", "status", "--porcelain" }, "the sources"))
    end)
end)
