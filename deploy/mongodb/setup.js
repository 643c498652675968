// Once, and again without harm: the replica set, and one user per service, each with a password of its own.
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
// What services do: they read and write documents, and make their collections and indexes. They drop and rename
// nothing, and see no other database.
const actions = ["find", "insert", "update", "remove", "createCollection", "createIndex", "listCollections", "listIndexes", "collStats", "dbStats"];
const privileges = [{ resource: { db: database, collection: "" }, actions }];
if (admin.getRole("gazeloop-service")) admin.updateRole("gazeloop-service", { privileges, roles: [] });
else admin.createRole({ role: "gazeloop-service", privileges, roles: [] });

// The operator is who runs commands, as the service `cli` of compose.yaml: also `migrate` and `backup restore`.
for (const service of ["ingest", "embedder", "fp-miner", "retriever", "evaluator", "review", "webhooks", "label-studio", "bridge", "operator"]) {
  const user = `gazeloop-${service}`;
  const pwd = secret(`mongodb_password_${service}`);
  const role = service === "operator" ? { role: "readWrite", db: database } : { role: "gazeloop-service", db: "admin" };
  if (admin.getUser(user)) admin.updateUser(user, { pwd, roles: [role] });
  else admin.createUser({ user, pwd, roles: [role] });
}
print("MongoDB is set up");
