// Loaded by a spare environment while it waits, so that the module loader is compiled by the time the
// function's own file is loaded.
exports.handler = async (event) => event;
