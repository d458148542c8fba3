-- What comes into nginx's process with resty.zenlayer: no libcurl, and no second TLS library.
local gateway = require "gateway"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"

describe("zenlayer/core.so", function()
    local function needed(name)
        local folder = gateway.paths().LUA_CPATH:match "^(.-)/%?%.so"
        return process.check { "ldd", folder .. "/" .. name }
    end

    it("needs neither libcurl nor libssl", function()
        local libraries = needed "zenlayer/core.so"
        assert.is_truthy(libraries:find("libc.so", 1, true), libraries)
        assert.is_nil(libraries:find("libcurl", 1, true), libraries)
        assert.is_nil(libraries:find("libssl", 1, true), libraries)
    end)

    it("brings none into a worker that made calls, by whatever way", function()
        local box = sandbox.start()
        remote.with(box, {}, function(front)
            local maps = "/proc/" .. front.gateway:workers()[1] .. "/maps"
            for _, path in ipairs { "/run", "/access", "/timer" } do
                assert(front:first():run_at(path, "return client:stop_instances(...)",
                    box:ids(101)))
            end
            local loaded = process.read(maps)
            assert.is_truthy(loaded:find("zenlayer/core.so", 1, true))
            assert.is_nil(loaded:find("libcurl", 1, true))
            local tls = {}
            for path in loaded:gmatch "(/%S*libssl[^\n]*)" do
                tls[path] = true
            end
            local first = next(tls)
            assert.is_nil(first and next(tls, first)) -- nginx's own, or it is part of nginx
        end)
    end)
end)
