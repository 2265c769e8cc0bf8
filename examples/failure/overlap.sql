-- How many users two audiences have, and how many are in both.
WITH users AS (
    SELECT DISTINCT audience, user_id
    FROM segments
    CROSS JOIN UNNEST(coalesce(output.userslist, output.recommendedusers)) AS t (user_id)
    WHERE run = 'latest' AND audience IN ('comedy-fans', 'drama-fans')
)
SELECT
    count_if(comedy.user_id IS NOT NULL) AS comedy_fans,
    count_if(drama.user_id IS NOT NULL) AS drama_fans,
    count_if(comedy.user_id = drama.user_id) AS fans_of_both
FROM (SELECT user_id FROM users WHERE audience = 'comedy-fans') AS comedy
FULL JOIN (SELECT user_id FROM users WHERE audience = 'drama-fans') AS drama
    ON comedy.user_id = drama.user_id
