// Once, and again without harm: the replica set, and one user per service, each with a password and a role of its own.
const fs = require("fs");
const secret = (name) => fs.readFileSync(`/run/secrets/${name}`, "utf8").trim();
const database = process.env.GAZELOOP_MONGODB_DATABASE || "gazeloop";

db.getSiblingDB("admin").auth("root", secret("mongodb_root_password"));
try {
  rs.status();
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({ _id: "gazeloop", members: [{ _id: 0, host: "mongodb:27017" }] });
}
while (!db.hello().isWritablePrimary) sleep(200);

const admin = db.getSiblingDB("admin");
// Which service writes which collection, and which collections only their writers may read. All make the indexes of
// all collections when they start. None drops or renames anything, or sees another database.
const { secret: secrets, writers } = JSON.parse(fs.readFileSync("/writers.json", "utf8"));
const onDatabase = ["listCollections", "dbStats"];
const onEveryCollection = ["createIndex", "listIndexes", "collStats"];
const reading = ["find"];
const writing = ["insert", "update", "remove"];

function privilegesOf(service) {
  const ofCollections = Object.entries(writers).map(([collection, names]) => {
    const writes = names === "all" || names.includes(service);
    const reads = writes || !secrets.includes(collection);
    const actions = [...onEveryCollection, ...(reads ? reading : []), ...(writes ? writing : [])];
    return { resource: { db: database, collection }, actions };
  });
  return [{ resource: { db: database, collection: "" }, actions: onDatabase }, ...ofCollections];
}

function put(kind, name, content) {
  if (admin[`get${kind}`](name)) admin[`update${kind}`](name, content);
  else admin[`create${kind}`]({ [kind.toLowerCase()]: name, ...content });
}

for (const service of ["ingest", "embedder", "fp-miner", "retriever", "evaluator", "review", "webhooks", "label-studio", "bridge"]) {
  const name = `gazeloop-${service}`;
  put("Role", name, { privileges: privilegesOf(service), roles: [] });
  put("User", name, { pwd: secret(`mongodb_password_${service}`), roles: [{ role: name, db: "admin" }] });
}
// Who runs commands, as the service `cli` of compose.yaml: also `migrate` and `backup restore`.
put("User", "gazeloop-operator", { pwd: secret("mongodb_password_operator"), roles: [{ role: "readWrite", db: database }] });
// What all services shared before.
if (admin.getRole("gazeloop-service")) admin.dropRole("gazeloop-service");
print("MongoDB is set up");
