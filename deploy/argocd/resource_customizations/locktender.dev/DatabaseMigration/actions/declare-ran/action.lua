if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["locktender.dev/resolve"] = obj.status.run.id .. "=ran"
return obj
