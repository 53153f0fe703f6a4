local actions = {}
local reason = ""
if obj.status ~= nil then
  for _, condition in ipairs(obj.status.conditions or {}) do
    if condition.type == "Ready" and condition.status ~= "True" then
      reason = condition.reason
    end
  end
end

if obj.spec.suspend then
  actions["resume"] = { ["iconClass"] = "fa fa-fw fa-play" }
else
  actions["suspend"] = { ["iconClass"] = "fa fa-fw fa-pause" }
  if reason == "Failed" or reason == "PreviousMigrationFailed" or reason == "RevertHeld" then
    actions["retry"] = { ["iconClass"] = "fa fa-fw fa-redo" }
  end
  -- Whether the migration ran cannot be known: a person who has looked at the database says so.
  if reason == "NeedsAttention" then
    actions["declare-ran"] = { ["iconClass"] = "fa fa-fw fa-check", ["displayName"] = "It ran" }
  end
  if reason == "NeedsAttention" or reason == "PreviousAttemptUnknown" then
    actions["declare-not-ran"] = { ["iconClass"] = "fa fa-fw fa-times", ["displayName"] = "It did not run" }
  end
end

return actions
