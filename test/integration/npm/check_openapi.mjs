/* Checks an OpenAPI document against the schema of its version: standard input to exit status. */
import { Validator } from '@seriousme/openapi-schema-validator';

let text = '';
for await (const chunk of process.stdin)
    text += chunk;
const result = await new Validator().validate(JSON.parse(text));
if (!result.valid) {
    console.error(JSON.stringify(result.errors, null, 1));
    process.exit(1);
}
