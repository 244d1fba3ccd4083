// Answers plain HTTP; deploy it with `lambda-home deploy examples/nodejs --url`.

export const handler = async (event) => {
  const name = event.queryStringParameters?.name ?? event.name ?? "world";
  console.log(`greeting ${name}`);
  return {
    statusCode: 200,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ message: `hello, ${name}` }),
  };
};
