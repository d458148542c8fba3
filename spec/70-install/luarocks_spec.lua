-- luarocks: what a user gives it is the version of Lua and a tree, and on Debian, where lua-cjson
-- is a package and no rock, --deps-mode none.
local lfs = require "lfs"
local machines = require "machine"
local process = require "process"
local sandbox = require "sandbox"

local interpreters = machines.interpreters()

-- Its rocks are for a version: that for 5.1 is LuaJIT's too.
local versions, users = {}, {}
for _, of in ipairs(interpreters) do
    if not users[of.version] then
        versions[#versions + 1] = of.version
        users[of.version] = {}
    end
    table.insert(users[of.version], of)
end

describe("luarocks", function()
    local machine, box

    setup(function()
        machine = machines.new()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
        machine:remove()
    end)

    local function luarocks(folder, version, tree, ...)
        return machine:check({
            "luarocks", "--lua-version", version, "--tree", machine:path(tree), ...,
        }, folder)
    end

    -- Without the folder that luarocks keeps the papers of its rocks in.
    local function modules(tree)
        local found = {}
        for _, line in ipairs(machine:list(tree)) do
            if not line:find(" lib/luarocks/", 1, true) then
                found[#found + 1] = line
            end
        end
        return found
    end

    -- The papers of this one.
    local function papers(tree, version, release)
        local folder = "lib/luarocks/rocks-" .. version .. "/zenlayer/"
        local found = {}
        for _, line in ipairs(machine:list(tree)) do
            local name = line:match(" " .. folder:gsub("%p", "%%%0") .. release .. "%-1/(.*[^/])$")
            found[#found + 1] = name
        end
        return found
    end

    local PAPERS = {
        "doc/CHANGELOG.md", "doc/CONTRIBUTING.md", "doc/LICENSE", "doc/README.md", "rock_manifest",
    }

    local function assert_installed(tree, version, release)
        assert.same(machines.installed(version), modules(tree))
        local expected = { table.unpack(PAPERS) }
        expected[#expected + 1] = "zenlayer-" .. release .. "-1.rockspec"
        assert.same(expected, papers(tree, version, release))
    end

    local function use(tree, of)
        local told = luarocks("empty", of.version, tree, "path", "--no-bin")
        local paths = {}
        for name, value in told:gmatch "export ([%w_]+)='([^']*)'" do
            paths[#paths + 1] = name .. "=" .. value
        end
        assert.equal(2, #paths, told)
        machine:use(tree, of, paths, box)
    end

    -- The name of the one that is in a folder.
    local function rock_in(folder)
        local told = machine:check({ "sh", "-c", "echo *.rock" }, folder)
        return assert(told:match "^(zenlayer%-scm%-1%.%l[%w_-]+%.rock)\n$", told)
    end

    for _, version in ipairs(versions) do
        it("makes, packs, installs and removes the rock for Lua " .. version, function()
            local tree, other = "a tree of " .. version, "another tree of " .. version
            luarocks("the sources", version, tree, "make", "--deps-mode", "none")
            assert_installed(tree, version, "scm")
            for _, of in ipairs(users[version]) do
                use(tree, of)
            end

            luarocks("tmp", version, tree, "pack", "zenlayer")
            local rock = rock_in "tmp"
            local told = luarocks("tmp", version, other, "install", "--deps-mode", "none", rock)
            assert.is_nil(told:find("  CC ", 1, true), told)
            process.check { "rm", machine:path("tmp/" .. rock) }
            process.check {
                "diff", "-r", "-x", "manifest", machine:path(tree), machine:path(other),
            }
            assert_installed(other, version, "scm")
            use(other, users[version][1])

            for _, from in ipairs { tree, other } do
                luarocks("empty", version, from, "remove", "zenlayer")
                for _, line in ipairs(machine:list(from)) do
                    assert.is_nil(line:find "zenlayer" or line:find "resty", line)
                end
            end
        end)
    end

    it("makes a rock to give away, and installs nothing then", function()
        local version = versions[#versions] -- which is built already
        luarocks("the sources", version, "no tree", "make", "--deps-mode", "none",
            "--pack-binary-rock")
        assert.is_nil(lfs.attributes(machine:path "no tree"))
        local rock = rock_in "the sources"
        luarocks("the sources", version, "given", "install", "--deps-mode", "none", rock)
        assert_installed("given", version, "scm")
    end)

    it("leaves nothing in the sources but what git does not look at", function()
        assert.equal("", machine:check({ "git", "status", "--porcelain" }, "the sources"))
    end)

    it("builds a release of the tagged sources", function()
        local version = versions[1]
        local function fetching(...) -- from where the clone is from
            return machine:check({
                "env", "GIT_CONFIG_COUNT=1",
                "GIT_CONFIG_KEY_0=url." .. machine:path "origin" .. ".insteadOf",
                "GIT_CONFIG_VALUE_0=https://github.com/lua-zenlayer/lua-zenlayer.git", "luarocks",
                "--lua-version", version, "--tree", machine:path "a release", ...,
            }, "tmp")
        end
        local release = machines.VERSION
        machine:check({ "cp", "../the sources/rockspec/zenlayer-scm-1.rockspec", "." }, "tmp")
        fetching("new_version", "--tag", "v" .. release, "zenlayer-scm-1.rockspec", release)
        local name = "zenlayer-" .. release .. "-1"
        fetching("lint", name .. ".rockspec")
        fetching("pack", name .. ".rockspec")
        fetching("install", "--deps-mode", "none", name .. ".src.rock")
        assert_installed("a release", version, release)
        use("a release", users[version][1])
    end)
end)
