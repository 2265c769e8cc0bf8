// Evaluates requests with an IAM simulator that shares no code with the local AWS. Reads and writes JSON.
import { readFileSync } from "node:fs";
import { runSimulation } from "@cloud-copilot/iam-simulate";

const simulations = JSON.parse(readFileSync(0, "utf8"));
const results = [];
for (const simulation of simulations) {
  const result = await runSimulation(simulation, { simulationMode: "Strict" });
  results.push(result.resultType === "error" ? `error: ${JSON.stringify(result.errors)}` : result.overallResult ?? result.analysis?.result);
}
console.log(JSON.stringify(results));
