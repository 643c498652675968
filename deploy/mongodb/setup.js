// Once, and again without harm: the replica set, and one user per service, each with what it needs.
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
const roles = [{ role: "readWrite", db: database }];
// The operator is who runs commands: the service `cli` of compose.yaml.
for (const service of ["ingest", "embedder", "fp-miner", "retriever", "evaluator", "review", "webhooks", "label-studio", "bridge", "operator"]) {
  const user = `gazeloop-${service}`;
  const pwd = secret("mongodb_password");
  if (admin.getUser(user)) admin.updateUser(user, { pwd, roles });
  else admin.createUser({ user, pwd, roles });
}
print("MongoDB is set up");
