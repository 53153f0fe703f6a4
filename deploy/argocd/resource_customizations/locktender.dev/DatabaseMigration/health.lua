-- Ready speaks for the generation that the operator has seen. A status that lags behind the spec is not health yet.
local function progressing(message)
  return { status = "Progressing", message = message }
end

local status = obj.status
if status == nil or status.observedGeneration == nil or status.observedGeneration < 0 then
  return progressing("Waiting for Locktender to look at it")
end
if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return progressing("Waiting for Locktender to look at the newest spec")
end

local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end

local stalled, ready = found.Stalled, found.Ready
if stalled ~= nil and stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end
if ready == nil then
  return progressing("Waiting for the condition Ready")
end
if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
-- It waits for a person's switch, and nothing is wrong.
if ready.reason == "Suspended" or ready.reason == "RevertHeld" then
  return { status = "Suspended", message = ready.message }
end
-- Nothing to migrate yet. Healthy, so that a sync goes on to the wave that brings the Deployment.
if ready.reason == "AwaitingDeployment" then
  return { status = "Healthy", message = ready.message }
end
return progressing(ready.message)
