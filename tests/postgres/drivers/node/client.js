// Runs its arguments one after the other in one session of node-postgres: SQL, or "sleep SECONDS". Prints what a query
// answers, or the SQLSTATE of what failed ("lost" when there is none).
const { setTimeout: pause } = require("node:timers/promises");
const { Client } = require("pg");

async function run() {
  const client = new Client({ connectionString: process.env.DATABASE_URL });
  client.on("error", () => {}); // a session that is ended while it is idle; the next statement fails
  await client.connect();
  for (const word of process.argv.slice(2)) {
    if (word.startsWith("sleep ")) {
      await pause(1000 * Number(word.slice(6)));
      continue;
    }
    const { rows } = await client.query({ text: word, rowMode: "array" });
    for (const row of rows ?? []) console.log(row[0]);
  }
  await client.end();
}

run().catch((problem) => {
  console.log(/^[0-9A-Z]{5}$/.test(problem.code ?? "") ? problem.code : "lost");
  process.exit(1);
});
