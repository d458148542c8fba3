-- How long loading takes, of the module or of the libraries that it needs:
--
--     load.lua module
--     load.lua libraries PATH…
local monotime = require("system").monotime

local began, processor = monotime(), os.clock()
if arg[1] == "module" then
    require "zenlayer"
else
    for i = 2, #arg do
        local loaded, message, what = package.loadlib(arg[i], "*")
        assert(loaded or what == "init", message) -- to 5.1 that is a function, which is not in it
    end
end
print(("seconds %.9f\nprocessor %.9f"):format(monotime() - began, os.clock() - processor))
