// Reads the HTML of every file in a folder as browsers and the standard want it,
// and prints one line for whatever is wrong.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { HtmlValidate } from "html-validate";

const folder = process.argv[2];
const judge = new HtmlValidate({ root: true, extends: ["html-validate:standard"] });
const files = (await readdir(folder)).sort();
for (const file of files) {
  const report = await judge.validateString(await readFile(join(folder, file), "utf8"), file);
  for (const result of report.results)
    for (const m of result.messages) console.log(`${file}:${m.line}:${m.column}: ${m.ruleId}: ${m.message}`);
}
if (files.length === 0) throw new Error(`there is no file in ${folder}`);
